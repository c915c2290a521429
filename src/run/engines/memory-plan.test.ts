import { expect, test } from "vitest";
import { parseModelConfig } from "../../engine/huggingface/model-config.ts";
import { describePlan, planRun, type RunDemand } from "./memory-plan.ts";

/** The sizes of a model of 135 M parameters. */
const config = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 49_152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
  },
  "the test",
);
const demand: RunDemand = {
  ...{ workers: 1, threads: 2, context: 768, microBatchTokens: 512 },
  ...{ learnt: "weights", wanted: 64 },
};
const roomy = { total: 64e9, free: 60e9 };

test("with room for all, all attempts run at once and nothing is computed twice", () => {
  const { sequences, recompute, bytes, parts } = planRun(config, demand, roomy);
  expect({ sequences, recompute }).toEqual({ sequences: 64, recompute: false });
  expect(parts.weights).toBeCloseTo(134_515_008 * 4, -6);
  expect(parts.optimizer).toBe(2 * parts.gradients);
  expect(bytes).toBe(Object.values(parts).reduce((sum, part) => sum + part, 0));
});

test("less memory means fewer attempts at once, and never more than it", () => {
  let before = 64;
  for (const limit of [9e9, 7e9, 6.5e9, 6.1e9]) {
    const { sequences, bytes } = planRun(config, { ...demand, limit, recompute: false }, roomy);
    expect(bytes).toBeLessThanOrEqual(0.96 * limit);
    expect(sequences).toBeLessThanOrEqual(before);
    before = sequences;
  }
  expect(before).toBeLessThan(64);
});

test("activation checkpointing is used if all activations would leave no room, or on request", () => {
  expect(planRun(config, { ...demand, limit: 4e9 }, roomy).recompute).toBe(true);
  expect(planRun(config, { ...demand, limit: 9e9 }, roomy).recompute).toBe(false);
  const asked = planRun(config, { ...demand, recompute: true }, roomy);
  expect(asked.parts.activations).toBeLessThan(0.25 * planRun(config, demand, roomy).parts.activations);
});

test("what is free now decides how many attempts run at once, not whether activation checkpointing is used", () => {
  const busy = planRun(config, demand, { total: 64e9, free: 8e9 });
  expect(busy.sequences).toBeLessThan(64);
  expect(busy.recompute).toBe(false);
});

test("a policy that cannot fit is refused with the numbers", () => {
  expect(() => planRun(config, { ...demand, limit: 2e9 }, roomy)).toThrow(
    /needs 3\.\d\d GB of memory \(weights 0\.54, gradients 0\.54, optimiser 1\.08.*; 1\.92 GB may be planned for/,
  );
});

test("the plan is one line of numbers", () => {
  const line = describePlan(planRun(config, { ...demand, limit: 4e9 }, roomy));
  expect(line).toMatch(
    /^memory: about \d\.\d\d of 4\.00 GB \(weights 0\.54, .*KV cache \d\.\d\d, saving 0\.54, program 0\.\d\d\); \d+ attempts at once of up to 768 tokens; activation checkpointing$/,
  );
});
