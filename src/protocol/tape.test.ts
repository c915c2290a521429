import fc from "fast-check";
import { expect, test } from "vitest";
import { type Author, authorAt, lossMask, TapeBuilder } from "./tape.ts";

test("a tape holds what was appended, with its authors, whatever the sizes", () => {
  const runs = fc.array(
    fc.tuple(fc.constantFrom<Author>("prompt", "policy", "search", "tool"), fc.array(fc.nat(999), { maxLength: 300 })),
  );
  fc.assert(
    fc.property(runs, (appended) => {
      const builder = new TapeBuilder();
      for (const [author, tokens] of appended) builder.append(author, tokens);
      const tape = builder.tape();
      const authors = appended.flatMap(([author, tokens]) => tokens.map(() => author));
      expect([...tape.tokens]).toEqual(appended.flatMap(([, tokens]) => tokens));
      expect(tape.runs.reduce((sum, { length }) => sum + length, 0)).toBe(tape.tokens.length);
      expect([...lossMask(tape)]).toEqual(authors.map((author) => Number(author === "policy")));
      for (const [index, author] of authors.entries()) if (index % 37 === 0) expect(authorAt(tape, index)).toBe(author);
      expect(authorAt(tape, authors.length)).toBeUndefined();
    }),
  );
});

test("a tape that was taken does not change when the builder goes on", () => {
  const builder = new TapeBuilder();
  builder.append("prompt", [1, 2]);
  const [tokens, tape] = [builder.tokens, builder.tape()];
  tokens[0] = 9;
  builder.append("policy", [3]);
  expect([...tape.tokens]).toEqual([1, 2]);
  expect([...builder.tokens]).toEqual([1, 2, 3]);
  expect(tape.runs).toHaveLength(1);
});
