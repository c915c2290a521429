import { expect, test } from "vitest";
import { middleSize } from "../../../bench/nano/model.ts";
import { extrapolate, predictSpeed, sketchOf } from "./predict-speed.ts";

const small = {
  ...middleSize,
  raw: { ...middleSize.raw, num_hidden_layers: 2, vocab_size: 300 },
  layers: 2,
  vocabSize: 300,
};

test("of a model, layers beyond what caches hold are made up; a small one is made up whole", () => {
  const { configs, layerFactor, headFactor } = sketchOf({ ...middleSize, layers: 40 });
  expect(configs.map(({ layers }) => layers)).toEqual([1, 12]); // 11.8 MB each
  expect(configs[0]).toMatchObject({ width: 512, ffnWidth: 1408, heads: 8, kvHeads: 4, vocabSize: 16_384, tied: true });
  expect([layerFactor, headFactor]).toEqual([1, 1]);
  expect(sketchOf(small).configs.map(({ layers }) => layers)).toEqual([2, 2]);
});

test("wide layers and large heads are made up narrower, and count for more", () => {
  const wide = {
    ...middleSize,
    width: 4096,
    ffnWidth: 14_336,
    heads: 32,
    kvHeads: 8,
    headDim: 128,
    vocabSize: 128_256,
    layers: 32,
  };
  const { configs, layerFactor, headFactor } = sketchOf(wide);
  const [one, several] = configs;
  expect(one).toMatchObject({ width: 1024, ffnWidth: 3584, heads: 8, kvHeads: 2, headDim: 128, layers: 1 });
  expect(several.layers).toBe(4);
  expect(layerFactor).toBe(16);
  expect(4 * one.width * one.vocabSize).toBeLessThanOrEqual(128e6);
  expect(headFactor * one.width * one.vocabSize).toBeCloseTo(4096 * 128_256, 0);
});

test("layers cost alike, and the rest costs once", () => {
  const config = { ...middleSize, layers: 40 };
  const sketch = sketchOf(config); // of 1 and 12 layers
  expect(extrapolate(config, sketch, [3, 25])).toBe(1 + 40 * 2);
  expect(extrapolate(config, { ...sketch, layerFactor: 2, headFactor: 3 }, [3, 25])).toBe(3 + 40 * 4);
  expect(extrapolate(small, sketchOf(small), [5, 5])).toBe(5);
});

test("a small model's own rates are found by running it", async () => {
  const assumed = { workers: 1, threads: 1, sequences: 4, context: 256, microBatchTokens: 512 };
  const { sample, train } = await predictSpeed(small, assumed);
  expect(sample).toBeGreaterThan(10);
  expect(train).toBeGreaterThan(10);
  // twice as many layers take longer
  const deeper = { ...small, raw: { ...small.raw, num_hidden_layers: 6 }, layers: 6 };
  expect((await predictSpeed(deeper, assumed)).train).toBeLessThan(train);
});
