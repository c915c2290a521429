import { expect, test } from "vitest";
import { middleSize } from "./bench/model.ts";
import { decidingProducts, speedFrom } from "./model-plan.ts";

const assumed = { workers: 1, threads: 1, sequences: 16, context: 256, microBatchTokens: 512, loraRank: 16 };
const rates = { decode: 30e9, train: 90e9 };

test("the products measured have the model's own shapes, and weights for decoding come from memory", () => {
  const { decode, train } = decidingProducts(middleSize, { ...assumed, workers: 2 });
  expect(decode).toMatchObject({ rows: 8, inner: 512, columns: 2816 });
  expect(decode.copies * 512 * 2816 * 4).toBeGreaterThanOrEqual(64e6);
  expect(train).toEqual({ rows: 512, inner: 512, columns: 2816, copies: 1 });
  const small = { ...middleSize, width: 64, ffnWidth: 64, layers: 1, vocabSize: 100 };
  expect(decidingProducts(small, assumed).decode.copies).toBe(15); // all that it has: 116,992 weights in matrices of 8,192
});

test("speed follows from the rates: a model of 32 M at what a core of the study reached", () => {
  // by hand: 2 · 16 · 32.0 M / 30e9 = 34.1 ms, and 0.5 + 8 · 0.3 + 16 · 16,384 · 2e-6 = 3.4 ms
  expect(speedFrom(middleSize, assumed, rates).sample).toBeCloseTo(16 / 0.0376, -1);
  const { train } = speedFrom(middleSize, assumed, rates);
  expect(speedFrom(middleSize, assumed, { ...rates, train: 180e9 }).train).toBeGreaterThan(1.5 * train);
  expect(speedFrom(middleSize, { ...assumed, workers: 2, sequences: 32 }, rates)).toEqual({
    sample: 2 * speedFrom(middleSize, assumed, rates).sample,
    train: 2 * train,
  });
});
