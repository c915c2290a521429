import fc from "fast-check";
import { expect, test } from "vitest";
import { coverEm, coverEm2, exactMatch, f1 } from "./metrics.ts";
import { normalise } from "./text.ts";

test.each([
  ["The  Eiffel-Tower, in Paris!", "eiffel tower in paris"],
  ["O’Brien´s `a` _b_", "o brien s b"],
  ["A an the", ""],
  ["thé théâtre", "thé théâtre"],
  ["1,000.5 km²", "1 000 5 km²"],
])("%j is compared as %j", (text, normalised) => {
  expect(normalise(text)).toBe(normalised);
});

test("normalising twice changes nothing", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => void expect(normalise(normalise(text))).toBe(normalise(text))),
  );
});

test.each([
  // prediction, gold, exact, cover, cover as it stands, F1
  ["London", ["London"], 1, 1, 1, 1],
  [" the London. ", ["london"], 1, 1, 1, 1],
  ["city of London", ["London"], 0, 1, 1, 0.5],
  ["London, Greater", ["Greater London"], 0, 1, 0, 1],
  ["Londonderry", ["London"], 0, 0, 1, 0],
  ["Paris", ["London", "Paris"], 1, 1, 1, 1],
  ["New York New York", ["New York"], 0, 1, 1, 2 / 3],
  ["", ["London"], 0, 0, 0, 0],
  ["yes", ["no"], 0, 0, 0, 0],
  ["yes it is", ["yes"], 0, 1, 1, 0],
  ["no", ["no man's land"], 0, 0, 0, 0],
  ["False", ["no"], 0, 0, 0, 0], // as in the published scores: the one such row counts as wrong there
  ["anything at all", ["The"], 0, 0, 0, 0], // gold that normalisation empties must not be covered by everything
  ["the", ["The"], 1, 1, 1, 1],
  ["", ["!!!"], 0, 0, 0, 0],
  ["!!!", ["!!!"], 1, 1, 1, 1],
])("%j against %j", (prediction, gold, exact, cover, asItStands, overlap) => {
  expect([exactMatch(prediction, gold), coverEm(prediction, gold), coverEm2(prediction, gold)]).toEqual([
    exact,
    cover,
    asItStands,
  ]);
  expect(f1(prediction, gold)).toBeCloseTo(overlap, 12);
});

test("an exact match is right by every metric, and metrics stay between 0 and 1", () => {
  const words = fc
    .array(fc.constantFrom("the", "a", "yes", "True", "b", "c!", "—", "d_e", "é"), { maxLength: 5 })
    .map((all) => all.join(" "));
  fc.assert(
    fc.property(words, fc.array(words, { minLength: 1, maxLength: 3 }), (prediction, gold) => {
      const others = [coverEm, coverEm2, f1].map((metric) => metric(prediction, gold));
      for (const score of others) {
        expect(score).toBeGreaterThanOrEqual(exactMatch(prediction, gold));
        expect(score).toBeLessThanOrEqual(1);
      }
    }),
  );
});
