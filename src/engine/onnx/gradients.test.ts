/** @file Whole models against PyTorch in float64; fixtures by test/parity/make_family_fixtures.py. */
import { expect, test } from "vitest";
import type { Tensor } from "../../runtime/onnx.ts";
import type { TrainingSequence } from "../engine.ts";
import { packs, parseModelConfig } from "../huggingface/model-config.ts";
import { openWeights } from "../huggingface/safetensors.ts";
import { formula } from "../testing/fixture-weights.ts";
import { LearnerCore } from "./learner-core.ts";

const lengths = [13, 9, 17];
const loss = { kind: "ppo", clipLow: 0.2, clipHigh: 0.3 } as const;

const names = [
  "llama-mha-tied",
  "llama-mha-untied",
  "llama-gqa-tied",
  "llama-gqa-untied",
  "llama-llama3-scaling",
  "qwen2-gqa-tied",
  "qwen2-mha-untied-linear-scaling",
  "qwen3-gqa-tied",
  "qwen3-mha-untied-llama3-scaling",
];

const cases = names.flatMap((name) => [
  { name, how: "all layers in one graph", recompute: false },
  { name, how: "layers computed anew", recompute: true },
]);

test.each(cases)(
  "$name, $how: log-probabilities and every gradient agree with float64",
  async ({ name, recompute }) => {
    const file = new URL(`../../../test/parity/fixtures/${name}.safetensors`, import.meta.url).pathname;
    const fixture = await openWeights(file);
    const read = async (key: string, length: number) => {
      const data = new Float32Array(length);
      await fixture.read(key, data);
      return data;
    };
    const config = parseModelConfig(JSON.parse(fixture.metadata["config"]!), file);
    const weights = new Map<string, Tensor>();
    const gradients = new Map<string, Tensor>();
    for (const { pack, shape, members } of packs(config)) {
      const size = shape.reduce((a, b) => a * b, 1);
      const data = new Float32Array(size);
      let at = 0;
      for (const member of members) {
        const values = formula(
          member.name,
          member.shape.reduce((a, b) => a * b, 1),
        );
        data.set(values, at);
        at += values.length;
      }
      weights.set(pack, { data, shape });
      gradients.set(pack, { data: new Float32Array(size), shape });
    }
    const batch: TrainingSequence[] = [];
    for (const [s, length] of lengths.entries()) {
      const isPolicy = (t: number) => t > 0 && (t + s) % 3 !== 0;
      batch.push({
        tokens: Int32Array.from({ length }, (_, i) => (7 * i * i + 13 * i + 29 * s + 3) % config.vocabSize),
        weights: Float32Array.from({ length }, (_, t) => (isPolicy(t) ? 0.05 + 0.01 * t : 0)),
        advantages: Float32Array.from({ length }, (_, t) => Math.sin(1.7 * t + s)),
        oldLogprobs: await read(`old.${s}`, length),
      });
    }
    const limits = { tokens: 24, scored: 1000 };
    const learner = new LearnerCore({ config, weights, gradients, threads: 1, limits, recompute });

    const logprobs = await learner.logprobs(batch.map(({ tokens }) => tokens));
    for (const [s, length] of lengths.entries()) {
      const expected = await read(`logprob.${s}`, length - 1);
      for (let t = 0; t < length - 1; t++) expect(Math.abs(logprobs[s]![t]! - expected[t]!)).toBeLessThan(1e-5);
    }

    await learner.forwardBackward(batch, loss);
    for (const { pack, members } of packs(config)) {
      let at = 0;
      for (const member of members) {
        const size = member.shape.reduce((a, b) => a * b, 1);
        const ours = (gradients.get(pack)!.data as Float32Array).subarray(at, at + size);
        at += size;
        const expected = await read(`gradient.${member.name}`, size);
        const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        const worst = ours.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
        expect(largest).toBeGreaterThan(0);
        expect(worst / largest, member.name).toBeLessThanOrEqual(1e-5);
      }
    }
    await learner.close();
    await fixture.close();
  },
);
