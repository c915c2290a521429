import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import type { LoraShape } from "../lora.ts";
import { adapterSpecs } from "./adapter-packs.ts";
import { parseModelConfig } from "./model-config.ts";
import { openAdapterWeights, readAdapterConfig, writeAdapter } from "./peft.ts";

const folder = mkdtempSync(join(tmpdir(), "r1-peft-"));
const file = join(folder, "adapter_config.json");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const config = parseModelConfig(
  {
    ...{ model_type: "llama", vocab_size: 11, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 2 },
    ...{ num_attention_heads: 2, num_key_value_heads: 1, max_position_embeddings: 32, tie_word_embeddings: true },
  },
  "the test",
);
const lora: LoraShape = { rank: 2, alpha: 3, targets: ["q_proj", "v_proj", "down_proj"] };
const tensors = adapterSpecs(config, lora).map(({ name, shape }, i) => ({
  ...{ name, shape },
  data: new Float32Array(shape[0]! * shape[1]!).fill(i),
}));

beforeEach(() => writeAdapter(folder, tensors, { lora, baseModel: "some/model" }));

/** Changes keys of the written adapter_config.json. */
function change(keys: Readonly<Record<string, unknown>>): void {
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...keys }));
}

test("what is written is read back, under PEFT's names", async () => {
  expect(readAdapterConfig(folder)).toEqual({ ...lora, baseModel: "some/model" });
  expect(tensors.map(({ name, shape }) => `${name} ${shape.join("x")}`).slice(0, 4)).toEqual([
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight 2x8",
    "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight 2x8",
    "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight 8x2",
    "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight 4x2",
  ]);
  const opened = await openAdapterWeights(folder, config, lora);
  for (const { name, data } of tensors) {
    const read = new Float32Array(data.length);
    await opened.read(name, read);
    expect(read).toEqual(data);
  }
  await opened.close();
});

test("the order of target_modules says nothing, and what PEFT leaves empty is nothing", () => {
  change({ target_modules: ["down_proj", "v_proj", "q_proj"], modules_to_save: [], rank_pattern: {}, bias: null });
  expect(readAdapterConfig(folder).targets).toEqual(["q_proj", "v_proj", "down_proj"]);
});

test.each<[Record<string, unknown>, RegExp]>([
  [{ peft_type: "IA3" }, /peft_type "IA3" is not supported/],
  [{ use_dora: true }, /"use_dora": true is not supported/],
  [{ use_rslora: true }, /"use_rslora": true is not supported/],
  [{ lora_bias: true }, /"lora_bias": true is not supported/],
  [{ fan_in_fan_out: true }, /"fan_in_fan_out": true is not supported/],
  [{ lora_dropout: 0.05 }, /lora_dropout 0.05 is not supported/],
  [{ bias: "all" }, /bias "all" is not supported/],
  [{ modules_to_save: ["lm_head"] }, /"modules_to_save" \["lm_head"\] is not supported/],
  [{ rank_pattern: { q_proj: 4 } }, /"rank_pattern" \{"q_proj":4\} is not supported/],
  [{ alpha_pattern: { q_proj: 4 } }, /"alpha_pattern" .* is not supported/],
  [{ layers_to_transform: [0] }, /"layers_to_transform" \[0\] is not supported/],
  [{ init_lora_weights: "pissa" }, /init_lora_weights "pissa" is not supported/],
  [{ target_modules: ".*_proj" }, /target_modules ".*_proj" is not supported; a list of names is/],
  [{ target_modules: ["q_proj", "lm_head"] }, /target_modules holds "lm_head"/],
  [{ r: 0 }, /"r" is 0; expected a whole number from 1/],
  [{ lora_alpha: "16" }, /"lora_alpha" is "16"; expected a positive number/],
])("%j is refused by name", (keys, message) => {
  change(keys);
  expect(() => readAdapterConfig(folder)).toThrow(message);
});

test("an adapter of other rank, or of another model, is refused before it is read", async () => {
  await expect(openAdapterWeights(folder, config, { ...lora, rank: 4 })).rejects.toThrow(
    /holds an adapter with rank 2, alpha 3, q_proj, v_proj, down_proj; the recipe asks for rank 4/,
  );
  const wider = { ...config, width: 16 };
  await expect(openAdapterWeights(folder, wider, lora)).rejects.toThrow(
    /q_proj\.lora_A\.weight is \[2, 8\]; adapter_config\.json over the model asks for \[2, 16\]/,
  );
  await expect(openAdapterWeights(folder, { ...config, layers: 3 }, lora)).rejects.toThrow(/lacks .*layers\.2\./);
  await expect(openAdapterWeights(folder, { ...config, layers: 1 }, lora)).rejects.toThrow(
    /holds .*layers\.1\..*does not have/,
  );
  await expect(openAdapterWeights(join(folder, "none"), config, lora)).rejects.toThrow(
    /an adapter is a PEFT folder|cannot be read/,
  );
});
