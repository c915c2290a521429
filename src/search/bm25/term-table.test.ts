import fc from "fast-check";
import { expect, test } from "vitest";
import { TermTable } from "./term-table.ts";

const terms = fc.array(
  fc.oneof(fc.string({ unit: "grapheme", minLength: 1 }), fc.constantFrom("a", "aa", "abcdef", "abcdefg", "東京", "𝔘")),
  { maxLength: 400 },
);

test("terms are numbered as they come, and sorted as their bytes are, also when the table is used again", () => {
  const table = new TermTable();
  fc.assert(
    fc.property(terms, (given) => {
      table.clear();
      const distinct = [...new Set(given)];
      for (const term of given) expect(table.number(term)).toBe(distinct.indexOf(term));
      expect(table.size).toBe(distinct.length);
      const sorted = [...table.sorted()].map((number) => Buffer.from(table.bytes(number)).toString());
      expect(sorted).toEqual(distinct.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    }),
    { numRuns: 60 },
  );
});

test("a hundred thousand terms keep their numbers", () => {
  const table = new TermTable();
  for (let i = 0; i < 100_000; i++) expect(table.number(`term${i}`)).toBe(i);
  for (let i = 0; i < 100_000; i += 7) expect(table.number(`term${i}`)).toBe(i);
  expect(table.size).toBe(100_000);
});
