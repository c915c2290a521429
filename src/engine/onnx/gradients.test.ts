/** @file Whole models against PyTorch in float64; fixtures by test/parity/make_family_fixtures.py. */
import { expect, test } from "vitest";
import type { Tensor } from "../../runtime/onnx.ts";
import type { TrainingSequence } from "../engine.ts";
import { adaptedPacks } from "../huggingface/adapter-packs.ts";
import { type ModelConfig, type Pack, packs, parseModelConfig, sizeOf } from "../huggingface/model-config.ts";
import { openWeights } from "../huggingface/safetensors.ts";
import { LoraConfig } from "../lora-config.ts";
import { formula } from "../testing/fixture-weights.ts";
import { LearnerCore } from "./learner-core.ts";
import { memberViews } from "./pack-memory.ts";

const lengths = [13, 9, 17];
const loss = { kind: "ppo", clipLow: 0.2, clipHigh: 0.3 } as const;

async function openFixture(name: string) {
  const file = new URL(`../../../test/parity/fixtures/${name}.safetensors`, import.meta.url).pathname;
  const fixture = await openWeights(file);
  const read = async (key: string, length: number) => {
    const data = new Float32Array(length);
    await fixture.read(key, data);
    return data;
  };
  const config = parseModelConfig(JSON.parse(fixture.metadata["config"]!), file);
  return { fixture, read, config, lora: fixture.metadata["lora"] };
}
type Read = Awaited<ReturnType<typeof openFixture>>["read"];

async function batchOf(config: ModelConfig, read: Read): Promise<TrainingSequence[]> {
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
  return batch;
}

function filled(of: readonly Pack[]): Map<string, Tensor> {
  return new Map(
    of.map(({ pack, shape, members }) => {
      const data = new Float32Array(sizeOf(shape));
      for (const { name, view } of memberViews({ pack, shape, members }, data)) view.set(formula(name, view.length));
      return [pack, { data, shape }];
    }),
  );
}

const zeros = (of: readonly Pack[]) =>
  new Map(of.map(({ pack, shape }): [string, Tensor] => [pack, { data: new Float32Array(sizeOf(shape)), shape }]));

/** The learner's log-probabilities, then its gradients by tensor, each beside the fixture's. */
async function demandAgreement(
  learner: LearnerCore,
  gradients: Map<string, Tensor>,
  of: readonly Pack[],
  name: string,
) {
  const { fixture, read, config } = await openFixture(name);
  const batch = await batchOf(config, read);
  const logprobs = await learner.logprobs(batch.map(({ tokens }) => tokens));
  for (const [s, length] of lengths.entries()) {
    const expected = await read(`logprob.${s}`, length - 1);
    for (let t = 0; t < length - 1; t++) expect(Math.abs(logprobs[s]![t]! - expected[t]!)).toBeLessThan(1e-5);
  }
  await learner.forwardBackward(batch, loss);
  for (const pack of of) {
    for (const { name: tensor, view: ours } of memberViews(pack, gradients.get(pack.pack)!.data as Float32Array)) {
      const expected = await read(`gradient.${tensor}`, ours.length);
      const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const worst = ours.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
      expect(largest).toBeGreaterThan(0);
      expect(worst / largest, tensor).toBeLessThanOrEqual(1e-5);
    }
  }
  await learner.close();
  await fixture.close();
}

const limits = { tokens: 24, scored: 1000 };

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
  { name, how: "activation checkpointing", recompute: true },
]);

test.each(cases)(
  "$name, $how: log-probabilities and every gradient agree with float64",
  async ({ name, recompute }) => {
    const { config, fixture } = await openFixture(name);
    await fixture.close();
    const all = packs(config);
    const gradients = zeros(all);
    const learner = new LearnerCore({ config, weights: filled(all), gradients, threads: 1, limits, recompute });
    await demandAgreement(learner, gradients, all, name);
  },
);

const adapters = ["llama-gqa-untied-lora", "qwen2-gqa-tied-lora", "qwen3-gqa-tied-lora"];

test.each(adapters.flatMap((name) => [true, false].map((merge) => [name, merge] as const)))(
  "%s, merged %s: log-probabilities and gradients of the adapter agree with PEFT in float64",
  async (name, merge) => {
    const { config, fixture, lora: described } = await openFixture(name);
    await fixture.close();
    const lora = LoraConfig.parse({ ...JSON.parse(described!), merge });
    const adapted = adaptedPacks(config, lora);
    const learning = adapted.flatMap(({ a, b }) => [a, b]);
    const base = filled(packs(config));
    const adapter = filled(learning);
    const merged = merge ? mergedBy(config, lora, adapter) : new Map();
    const gradients = zeros(learning);
    const weights = new Map([...base, ...merged, ...adapter]);
    const learner = new LearnerCore({ config, weights, base, gradients, lora, threads: 1, limits });

    const tokens = Int32Array.from({ length: 11 }, (_, i) => (5 * i + 2) % config.vocabSize);
    const plain = new LearnerCore({ config, weights: base, gradients: new Map(), threads: 1, limits });
    const reference = await plain.logprobs([tokens]);
    expect(await learner.logprobs([tokens], { base: true })).toEqual(reference);
    expect(await learner.logprobs([tokens])).not.toEqual(reference);
    await plain.close();

    await demandAgreement(learner, gradients, learning, name);
  },
);

/** W + alpha / rank · B · A in plain loops. */
function mergedBy(config: ModelConfig, { rank, alpha, targets }: LoraConfig, adapter: Map<string, Tensor>) {
  const views = new Map<string, Float32Array>();
  for (const { a, b } of adaptedPacks(config, { rank, alpha, targets })) {
    for (const pack of [a, b]) {
      for (const { name, view } of memberViews(pack, adapter.get(pack.pack)!.data as Float32Array))
        views.set(name, view);
    }
  }
  const merged = filled(packs(config));
  for (const pack of packs(config)) {
    for (const { name, shape, view } of memberViews(pack, merged.get(pack.pack)!.data as Float32Array)) {
      const [a, b] = ["A", "B"].map((side) =>
        views.get(`base_model.model.${name.replace("weight", `lora_${side}.weight`)}`),
      );
      if (!a || !b) continue;
      for (let i = 0; i < view.length; i++) {
        const [row, column] = [Math.floor(i / shape[1]!), i % shape[1]!];
        let sum = 0;
        for (let k = 0; k < rank; k++) sum += b[row * rank + k]! * a[k * shape[1]! + column]!;
        view[i]! += (alpha / rank) * sum;
      }
    }
  }
  return merged;
}
