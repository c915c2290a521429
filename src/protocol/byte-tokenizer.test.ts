import fc from "fast-check";
import { expect, test } from "vitest";
import { byteTokenizer } from "./byte-tokenizer.ts";

const tokenizer = byteTokenizer(["<a>", "<a>b", "<end>"], { eos: "<end>", pieces: [">\n\n"] });

test("plain encoding gives no special token, template encoding gives the longest, and both decode to the text", () => {
  const text = fc
    .array(fc.oneof(fc.constantFrom("<a>", "<a>b", "<end>", "<"), fc.string({ unit: "binary" })))
    .map((all) => all.join(""));
  fc.assert(
    fc.property(text, (some) => {
      const plain = tokenizer.encodeText(some);
      expect(plain.some((id) => tokenizer.specialIds.has(id))).toBe(false);
      expect(tokenizer.decode(plain)).toBe(some.toWellFormed());
      expect(tokenizer.decode(tokenizer.encodeTemplate(some))).toBe(some.toWellFormed());
    }),
  );
  expect([...tokenizer.encodeTemplate("<a>b<a><end>")]).toEqual([257, 256, 258]);
  expect([tokenizer.vocabSize, tokenizer.eosIds]).toEqual([260, [258]]);
});

test("pieces decode, but no text encodes to them", () => {
  expect(tokenizer.decode([259])).toBe(">\n\n");
  expect([...tokenizer.encodeTemplate(">\n\n")]).toEqual([62, 10, 10]);
});
