import fc from "fast-check";
import { expect, test } from "vitest";
import { type Planned, planMicroBatches, planTightMicroBatches } from "./micro-batch.ts";

const sequences = fc
  .array(fc.record({ length: fc.integer({ min: 1, max: 300 }), scored: fc.integer({ min: 0, max: 60 }) }), {
    maxLength: 40,
  })
  .map((list) => list.map((one, index): Planned => ({ index, ...one })));
const limits = { tokens: 512, scored: 150 };

const rowsOf = (batches: readonly (readonly Planned[])[]) =>
  batches.reduce((sum, batch) => sum + batch[0]!.length * batch.length, 0);

test.each([
  ["neighbours", planMicroBatches],
  ["tight", planTightMicroBatches],
] as const)("%s: every scored sequence is in one micro-batch, and none is over the limits unless alone", (_, plan) => {
  fc.assert(
    fc.property(sequences, (list) => {
      const batches = plan(list, limits);
      const indices = batches.flat().map(({ index }) => index);
      expect(indices.toSorted((a, b) => a - b)).toEqual(list.filter(({ scored }) => scored > 0).map((s) => s.index));
      for (const batch of batches) {
        expect(Math.max(...batch.map(({ length }) => length))).toBe(batch[0]!.length);
        if (batch.length === 1) continue;
        expect(rowsOf([batch])).toBeLessThanOrEqual(limits.tokens);
        expect(batch.reduce((sum, { scored }) => sum + scored, 0)).toBeLessThanOrEqual(limits.scored);
      }
    }),
  );
});

test("a tight plan costs no more than one of neighbours, rows and runs together", () => {
  const cost = (batches: readonly (readonly Planned[])[]) => rowsOf(batches) + 32 * batches.length;
  fc.assert(
    fc.property(sequences, (list) => {
      expect(cost(planTightMicroBatches(list, limits))).toBeLessThanOrEqual(cost(planMicroBatches(list, limits)));
    }),
  );
});

test("siblings of very different lengths are not padded to the longest", () => {
  const siblings = [250, 245, 120, 118, 115, 30, 28, 26].map((length, index) => ({ index, length, scored: 10 }));
  const lengths = planTightMicroBatches(siblings, limits).map((batch) => batch.map(({ length }) => length));
  expect(lengths).toEqual([
    [250, 245],
    [120, 118, 115],
    [30, 28, 26],
  ]);
});
