/** @file Small models with random weights, and tokenizers that cut texts as those of published families do. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomOf } from "../../src/base/random.ts";
import { trainBpe, writeTokenizer } from "../../src/engine/huggingface/bpe.ts";
import {
  parameterSpecs,
  parseModelConfig,
  sizeOf,
  writeModelConfig,
} from "../../src/engine/huggingface/model-config.ts";
import { writeWeights } from "../../src/engine/huggingface/weights-writer.ts";
import { chatTemplates } from "./chat-templates.ts";

export type Cutting = "gpt-2" | "smollm" | "llama-3" | "qwen";

export interface RandomModel {
  readonly name: string;
  readonly cutting: Cutting;
  readonly config: Readonly<Record<string, unknown>>;
  readonly template?: keyof typeof chatTemplates;
}

const END = "<|end|>";
const vocabulary = 420;
const shape = {
  ...{ vocab_size: vocabulary, hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3, num_attention_heads: 4 },
  ...{ max_position_embeddings: 512, rms_norm_eps: 1e-5, rope_theta: 50_000, torch_dtype: "float32" },
};
const llama3 = {
  ...{ rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
  original_max_position_embeddings: 128,
};

export const randomModels: readonly RandomModel[] = [
  {
    name: "llama-gqa-tied-llama3",
    cutting: "llama-3",
    template: "llama",
    config: { ...shape, model_type: "llama", num_key_value_heads: 2, tie_word_embeddings: true, rope_scaling: llama3 },
  },
  {
    name: "llama-mha-untied-linear",
    cutting: "gpt-2",
    config: {
      ...shape,
      model_type: "llama",
      tie_word_embeddings: false,
      rope_scaling: { rope_type: "linear", factor: 2 },
    },
  },
  {
    name: "qwen2-gqa-tied",
    cutting: "qwen",
    template: "qwen",
    config: { ...shape, model_type: "qwen2", num_key_value_heads: 2, tie_word_embeddings: true },
  },
  {
    name: "qwen3-gqa-untied",
    cutting: "qwen",
    template: "qwen",
    config: { ...shape, model_type: "qwen3", num_key_value_heads: 2, head_dim: 32, tie_word_embeddings: false },
  },
];

export async function writeRandomModel(
  directory: string,
  { name, cutting, config, template }: RandomModel,
): Promise<void> {
  mkdirSync(directory, { recursive: true });
  writeCuttingTokenizer(directory, cutting);
  if (template) writeFileSync(join(directory, "chat_template.jinja"), chatTemplates[template]);
  const model = parseModelConfig(config, name);
  writeModelConfig(directory, model);
  const tensors = parameterSpecs(model).map((spec) => {
    const random = randomOf(3, name, spec.name);
    const mean = spec.role === "norm" ? 1 : 0;
    const data = Float32Array.from({ length: sizeOf(spec.shape) }, () => mean + 0.15 * random.normal());
    return { name: spec.name, shape: spec.shape, read: (into: Float32Array) => into.set(data) };
  });
  await writeWeights(directory, tensors);
}

/** As the tokenizer.json of each family says it. */
const split = (digits: string) => ({
  type: "Split",
  pattern: {
    Regex: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  },
  behavior: "Isolated",
  invert: false,
});
const bytes = (cut: boolean) => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: cut });
const sequence = (...pretokenizers: object[]) => ({ type: "Sequence", pretokenizers });
const cuttings: Readonly<Record<Cutting, { readonly pre_tokenizer: object; readonly normalizer?: object }>> = {
  "gpt-2": { pre_tokenizer: bytes(true) },
  smollm: { pre_tokenizer: sequence({ type: "Digits", individual_digits: true }, bytes(true)) },
  "llama-3": { pre_tokenizer: sequence(split("\\p{N}{1,3}"), bytes(false)) },
  qwen: { pre_tokenizer: sequence(split("\\p{N}"), bytes(false)), normalizer: { type: "NFC" } },
};

export function writeCuttingTokenizer(directory: string, cutting: Cutting): void {
  const specials = [
    END,
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<think>",
  ];
  const texts = [
    "the river of the town",
    " flows past the town hall",
    "don't read 1234567 naïve words\n\n",
    "日本語の日本語の文",
  ];
  const trained = trainBpe({
    texts: texts.flatMap((text) => [text, text, text]),
    vocabSize: vocabulary - 12,
    specials,
  });
  const json = structuredClone(trained) as { model: object };
  Object.assign(json, cuttings[cutting]);
  if (cutting === "llama-3") Object.assign(json.model, { ignore_merges: true });
  writeTokenizer(directory, json, { eos: END, contextLength: 512 });
}
