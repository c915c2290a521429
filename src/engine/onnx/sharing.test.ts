/** @file What is shared, packed or computed anew changes no loss and no gradient. */
import { expect, test } from "vitest";
import { randomOf } from "../../base/random.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import type { LossSpec } from "../engine.ts";
import { packs, parseModelConfig } from "../huggingface/model-config.ts";
import { randomBatch, SharingCheck, type SharingModel, ways } from "../testing/sharing-checks.ts";
import { sharePrompts, splitSiblings, usualSharing } from "./shared-prompts.ts";

const families: Record<string, object> = {
  "Llama, grouped queries, tied": { num_key_value_heads: 2, tie_word_embeddings: true },
  "Qwen2, biased projections": { model_type: "qwen2", num_key_value_heads: 4 },
  "Qwen3, normalised heads": { model_type: "qwen3", num_key_value_heads: 1, head_dim: 32 },
};

function tinyModel(changes: object): SharingModel {
  const json = {
    model_type: "llama",
    vocab_size: 97,
    hidden_size: 64,
    intermediate_size: 80,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    ...changes,
  };
  const config = parseModelConfig(json, "the test");
  const random = randomOf("sharing model");
  const weights = new Map<string, Tensor>();
  for (const { pack, shape, members } of packs(config)) {
    const mean = members[0]!.role === "norm" ? 1 : 0;
    const length = shape.reduce((a, b) => a * b, 1);
    weights.set(pack, { data: Float32Array.from({ length }, () => mean + 0.15 * random.normal()), shape });
  }
  return { config, weights };
}

const losses: readonly LossSpec[] = [
  { kind: "ppo", clipLow: 0.2, clipHigh: 0.3 },
  { kind: "ppo", clipLow: 0.2, clipHigh: 0.2, kl: { kind: "k3", coefficient: 0.05 } },
  { kind: "cross-entropy" },
];
const batches = 12; // npm run parity:sharing has 50
const bound = 1e-5;

test.each(Object.entries(families))("%s: every way agrees within 1e-5", { timeout: 120_000 }, async (name, changes) => {
  const model = tinyModel(changes);
  const check = new SharingCheck(model, 1);
  const share = Object.keys(families).indexOf(name);
  let [compared, shared] = [0, 0];
  for (let number = share; number < batches; number += Object.keys(families).length) {
    const batch = randomBatch(number, model.config.vocabSize, { questions: 3, siblings: 4, prompt: 40, written: 20 });
    shared += sharePrompts(batch, { minTokens: 4, minShare: 0 }).prompts.length;
    const found = await check.compare(batch, losses[number % losses.length]!);
    for (const [way, { loss, gradient }] of Object.entries(found)) {
      expect(loss, `${way}, batch ${number}`).toBeLessThanOrEqual(bound);
      expect(gradient, `${way}, batch ${number}`).toBeLessThanOrEqual(bound);
      compared++;
    }
  }
  await check.close();
  expect(compared).toBe((batches / Object.keys(families).length) * Object.keys(ways).length);
  expect(shared).toBeGreaterThan(3);
});

const plain = (tokens: readonly number[], firstScored: number) => ({
  tokens: Int32Array.from(tokens),
  weights: Float32Array.from(tokens, (_, t) => (t >= firstScored ? 1 : 0)),
  advantages: new Float32Array(tokens.length),
  oldLogprobs: new Float32Array(tokens.length),
});
const counting = (length: number, from = 0) => Array.from({ length }, (_, i) => from + i);

test("siblings are those with the same tokens up to the one before the first that is scored", () => {
  const prompt = counting(60);
  const batch = [
    plain([...prompt, 7, 8], 60),
    plain([...counting(60, 1), 7], 60),
    plain([...prompt, 9], 60),
    plain([...prompt, 7, 8], 61),
  ];
  expect(sharePrompts(batch, usualSharing)).toEqual({ prompts: [{ length: 59, members: [0, 2] }], alone: [1, 3] });
});

test("a prompt that is short, or little beside what follows it, stays with its siblings", () => {
  const siblings = (prompt: number, written: number) =>
    Array.from({ length: 8 }, (_, i) => plain([...counting(prompt), ...counting(written, i)], prompt));
  expect(sharePrompts(siblings(16, 144), usualSharing).prompts).toEqual([]); // as nano's are
  expect(sharePrompts(siblings(60, 2000), usualSharing).prompts).toEqual([]);
  expect(sharePrompts(siblings(110, 200), usualSharing).prompts).toHaveLength(1); // as SmolLM2's are
});

test("siblings that share a prompt go to one worker, all others where the load is least", () => {
  const group = (from: number) => counting(3).map((i) => plain([...counting(60, from), i], 60));
  const [a, b] = [group(0), group(1)];
  const batch = [a[0]!, b[0]!, plain([1, 2, 3], 1), a[1]!, b[1]!, a[2]!, b[2]!];
  expect(splitSiblings(batch, 2)).toEqual([
    [0, 2, 3, 5],
    [1, 4, 6],
  ]);
});
