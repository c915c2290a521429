import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { middleSize } from "../../../bench/nano/model.ts";
import { adapterSpecs } from "../../engine/huggingface/adapter-packs.ts";
import { parameterSpecs, parseModelConfig } from "../../engine/huggingface/model-config.ts";
import { writeAdapter } from "../../engine/huggingface/peft.ts";
import { openWeights, writeSafetensors } from "../../engine/huggingface/safetensors.ts";
import { LoraConfig } from "../../engine/lora-config.ts";
import { formula } from "../../engine/testing/fixture-weights.ts";
import { planMemory } from "../engines/memory-plan.ts";
import { modelLogprobs } from "./run-logprobs.ts";
import { exportModel } from "./run-model-export.ts";
import { modelInfo } from "./run-model-info.ts";

const folder = mkdtempSync(join(tmpdir(), "r1-logprobs-"));
const expected = new Float32Array(12);
const ids = Array.from({ length: 13 }, (_, i) => (7 * i * i + 13 * i + 3) % 61);

beforeAll(async () => {
  const file = new URL("../../../test/parity/fixtures/qwen3-gqa-tied.safetensors", import.meta.url).pathname;
  const fixture = await openWeights(file);
  await fixture.read("logprob.0", expected);
  const config = fixture.metadata["config"]!;
  await fixture.close();
  writeFileSync(join(folder, "config.json"), config);
  const tensors = parameterSpecs(parseModelConfig(JSON.parse(config), file)).map(({ name, shape }) => ({
    ...{ name, shape },
    data: formula(
      name,
      shape.reduce((product, n) => product * n, 1),
    ),
  }));
  writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" });
});

test("a folder is scored as PyTorch scores it, each number for the token after its position", async () => {
  const found = await modelLogprobs(folder, ids);
  expect(found).toHaveLength(ids.length - 1);
  for (const [t, logprob] of found.entries()) expect(Math.abs(logprob - expected[t]!)).toBeLessThan(1e-5);
});

test("an adapter over a folder is scored as PEFT scores it, named beside the folder or naming it itself", async () => {
  const file = new URL("../../../test/parity/fixtures/qwen3-gqa-tied-lora.safetensors", import.meta.url).pathname;
  const fixture = await openWeights(file);
  const adapted = new Float32Array(12);
  await fixture.read("logprob.0", adapted);
  const lora = LoraConfig.parse(JSON.parse(fixture.metadata["lora"]!));
  const config = parseModelConfig(JSON.parse(fixture.metadata["config"]!), file);
  await fixture.close();
  const adapter = join(folder, "adapter");
  mkdirSync(adapter);
  const tensors = adapterSpecs(config, lora).map(({ name, shape }) => ({
    ...{ name, shape },
    data: formula(name, shape[0]! * shape[1]!),
  }));
  writeAdapter(adapter, tensors, { lora, baseModel: folder });
  const found = await modelLogprobs(folder, ids, { adapter });
  for (const [t, logprob] of found.entries()) expect(Math.abs(logprob - adapted[t]!)).toBeLessThan(1e-5);
  expect(await modelLogprobs(adapter, ids)).toEqual(found);

  await exportModel({ policy: adapter, out: join(folder, "merged"), format: "hf", dtype: "f32" });
  const exported = await modelLogprobs(join(folder, "merged"), ids);
  for (const [t, logprob] of exported.entries()) expect(Math.abs(logprob - found[t]!)).toBeLessThan(1e-5);

  await expect(modelLogprobs(adapter, ids, { adapter })).rejects.toThrow(/is an adapter itself; it takes no --adapter/);
  await expect(modelLogprobs(folder, ids, { adapter: folder })).rejects.toThrow(/holds neither an adapter nor a run/);
  writeAdapter(adapter, tensors, { lora, baseModel: "someone/their-model" });
  await expect(modelLogprobs(adapter, ids)).rejects.toThrow(
    /adapts someone\/their-model, which is no model folder here/,
  );
  expect(await modelLogprobs(folder, ids, { adapter })).toEqual(found);
});

test.each<[string, number[], RegExp]>([
  ["an id the model does not have", [1, 61], /--ids holds 61; .* has ids from 0 to 60/],
  ["nothing to score", [1], /--ids holds 1 tokens; from 2 to 64/],
  ["more than the context", new Array<number>(65).fill(1), /--ids holds 65 tokens/],
])("%s is refused", async (_, tokens, message) => {
  await expect(modelLogprobs(folder, tokens)).rejects.toThrow(message);
});

test("info names the architecture, counts, and predicts more memory for more to keep", async () => {
  const { architecture, parameters, memory, tokensPerSecond, tokenizer } = await modelInfo(folder);
  expect({ architecture, tokenizer }).toEqual({ architecture: "Qwen3ForCausalLM", tokenizer: false });
  expect(parameters).toBe(61 * 32 + 2 * (32 * (64 + 2 * 32 + 64) + 2 * 16 + 3 * 32 * 40 + 2 * 32) + 32);
  expect(memory.full).toBeGreaterThan(memory.eval);
  expect(memory.lora).toBeGreaterThan(memory.eval);
  for (const rate of [tokensPerSecond.sample, tokensPerSecond.train]) expect(rate).toBeGreaterThan(0);
});

test("an adapter takes less than training all weights, and its merged copy more than sampling", () => {
  const assumed = { workers: 1, threads: 2, sequences: 16, context: 1024, microBatchTokens: 512 };
  const memory = planMemory(middleSize, assumed);
  expect(memory.full).toBeGreaterThan(memory.lora);
  expect(memory.lora - memory.eval).toBeGreaterThan(4 * 24e6); // 24 M numbers lie in the matrices of its layers
});
