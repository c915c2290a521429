/** @file Reads `config.json` of a Hugging Face folder, and lists the tensors of a model with that configuration. */
import { join } from "node:path";
import { EngineError } from "../../base/errors.ts";
import { writeDurably } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { type Fail, flag, isGiven, type JsonObject, positive, show } from "./config-fields.ts";
import type { Family, Features } from "./families/family.ts";
import { llama } from "./families/llama.ts";
import { qwen2 } from "./families/qwen2.ts";
import { qwen3 } from "./families/qwen3.ts";
import { isObject, readJsonObject } from "./json-file.ts";
import { type NumberFormat, torchNames } from "./number-format.ts";
import { type Rope, ropeOf } from "./rope.ts";

const families: readonly Family[] = [llama, qwen2, qwen3];
const SUPPORTED = `supported: ${families.map((f) => `${f.name} / ${f.architecture} (${f.models})`).join(", ")}`;

export interface ModelConfig extends Features, Rope {
  /** `model_type` in config.json. */
  readonly family: string;
  /** `architectures` in config.json. */
  readonly architecture: string;
  readonly vocabSize: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffnWidth: number;
  readonly contextLength: number;
  readonly rmsEpsilon: number;
  /** The output head uses the embedding matrix. */
  readonly tied: boolean;
  readonly bosId?: number;
  /** As in config.json; `Tokenizer.eosIds` also includes generation_config.json. */
  readonly eosIds: readonly number[];
  readonly padId?: number;
  /** The file as it was read; written back with the weights. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export interface ParameterSpec {
  /** The name in the safetensors file. */
  readonly name: string;
  /** [out, in], or [n]. */
  readonly shape: readonly number[];
  /** The pack that contains it. */
  readonly pack: string;
  readonly role: "embedding" | "head" | "matrix" | "norm" | "bias";
}

/** Tensors that are adjacent in memory and enter the graph as one: q, k and v are one matrix product. */
export interface Pack {
  readonly pack: string;
  readonly shape: readonly number[];
  readonly members: readonly ParameterSpec[];
}

const MAX_CONFIG_BYTES = 10 * 2 ** 20;

/** The largest accepted value of each key: above every existing model, and too small to exhaust memory by itself. */
const largest = {
  vocab_size: 2 ** 24,
  hidden_size: 2 ** 18,
  num_hidden_layers: 2 ** 12,
  num_attention_heads: 2 ** 14,
  num_key_value_heads: 2 ** 14,
  head_dim: 2 ** 14,
  intermediate_size: 2 ** 20,
  max_position_embeddings: 2 ** 30,
} as const;

/** @throws EngineError if the folder has no usable config.json */
export function readModelConfig(directory: string): ModelConfig {
  const file = join(directory, "config.json");
  const hint = "a model is a Hugging Face folder: config.json, tokenizer.json and model.safetensors";
  return parseModelConfig(readJsonObject(file, { maxBytes: MAX_CONFIG_BYTES, hint }), file);
}

/** @param file used in messages */
export function parseModelConfig(json: unknown, file: string): ModelConfig {
  const fail: Fail = (message, hint) => {
    throw new EngineError(`${file}: ${message}`, { hint });
  };
  if (!isObject(json)) return fail("it is not a JSON object");
  const family = families.find(({ name }) => name === json["model_type"]);
  if (!family) return fail(`model_type ${show(json["model_type"])} is not supported`, SUPPORTED);
  refuseUnsupported(json, family, fail);
  const whole = (key: keyof typeof largest, fallback?: number): number => {
    const value = json[key] ?? fallback;
    if (typeof value === "number" && Number.isInteger(value) && value > 0 && value <= largest[key]) return value;
    return fail(`"${key}" is ${show(json[key])}; expected a whole number from 1 to ${largest[key]}`);
  };
  const width = whole("hidden_size");
  const heads = whole("num_attention_heads");
  const kvHeads = whole("num_key_value_heads", heads);
  const usual = family.defaults.headDim ?? width / heads;
  if (!isGiven(json["head_dim"]) && !Number.isInteger(usual))
    fail(`hidden_size ${width} does not divide among ${heads} num_attention_heads, and head_dim is missing`);
  const headDim = whole("head_dim", usual);
  if (heads % kvHeads !== 0) fail(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`);
  if (headDim % 2 !== 0) fail(`head_dim ${headDim} is odd; rotary embedding needs an even number`);
  const vocabSize = whole("vocab_size");
  return {
    family: family.name,
    architecture: family.architecture,
    ...family.features(json, fail),
    vocabSize,
    width,
    layers: whole("num_hidden_layers"),
    heads,
    kvHeads,
    headDim,
    ffnWidth: whole("intermediate_size"),
    contextLength: whole("max_position_embeddings", family.defaults.contextLength),
    rmsEpsilon: positive(json["rms_norm_eps"] ?? 1e-6, "rms_norm_eps", fail),
    ...ropeOf(json, fail),
    tied: flag(json, "tie_word_embeddings", fail),
    ...specialIdsOf(json, vocabSize, fail),
    raw: json,
  };
}

function specialIdsOf(raw: JsonObject, vocabSize: number, fail: Fail) {
  const checked = (value: unknown, key: string): number =>
    typeof value === "number" && Number.isInteger(value) && value >= 0 && value < vocabSize
      ? value
      : fail(`"${key}" is ${show(value)}; expected an id below vocab_size ${vocabSize}`);
  const one = (key: string): number | undefined => {
    const value = raw[key] ?? -1; // Llama 1 folders use -1 for none
    return value === -1 ? undefined : checked(value, key);
  };
  const eos = raw["eos_token_id"] ?? [];
  const bosId = one("bos_token_id");
  const padId = one("pad_token_id");
  return {
    ...(bosId === undefined ? {} : { bosId }),
    eosIds: (Array.isArray(eos) ? eos : [eos]).map((id) => checked(id, "eos_token_id")),
    ...(padId === undefined ? {} : { padId }),
  };
}

/** Refuses settings with which the same weights would compute another function, in any family. */
function refuseUnsupported(raw: JsonObject, { architecture }: Family, fail: Fail): void {
  const architectures = raw["architectures"] ?? [];
  if (!Array.isArray(architectures) || architectures.some((name) => name !== architecture))
    fail(`architectures ${show(architectures)} is not supported`, SUPPORTED);
  if ((raw["hidden_act"] ?? "silu") !== "silu") fail(`hidden_act ${show(raw["hidden_act"])} is not supported; silu is`);
  if (isGiven(raw["quantization_config"]))
    fail(
      "quantization_config: quantised weights are not supported",
      "use the f32, f16 or bf16 weights of the same model",
    );
}

/** Number of elements of a tensor. */
export const sizeOf = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

/**
 * Sets the dtype in which the weights are written, so that a loader which relies on config.json does not round them.
 */
export function writeModelConfig(directory: string, { raw }: ModelConfig, format: NumberFormat = "f32"): void {
  const key = "dtype" in raw ? "dtype" : "torch_dtype"; // the key of transformers 5, and that of transformers 4
  const dtype = torchNames[format];
  const both = "torch_dtype" in raw ? { torch_dtype: dtype } : {};
  writeDurably(join(directory, "config.json"), `${toJson({ ...raw, ...both, [key]: dtype }, 2)}\n`);
}

/** In the layer order of the file; every tensor of the model is in exactly one pack. */
export function packs(config: ModelConfig): Pack[] {
  const { width, heads, kvHeads, headDim, ffnWidth, vocabSize } = config;
  const matrix = (name: string, out: number, into: number): Member => ({
    name: `${name}.weight`,
    shape: [out, into],
    role: "matrix",
  });
  const norm = (name: string, size = width): Member => ({ name: `${name}.weight`, shape: [size], role: "norm" });
  const bias = (name: string, out: number): Member => ({ name: `${name}.bias`, shape: [out], role: "bias" });
  const all: Pack[] = [
    packOf("embedding", [{ name: "model.embed_tokens.weight", shape: [vocabSize, width], role: "embedding" }]),
  ];
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `model.layers.${layer}`;
    all.push(
      packOf(`l${layer}.norm1`, [norm(`${at}.input_layernorm`)]),
      packOf(`l${layer}.qkv`, [
        matrix(`${at}.self_attn.q_proj`, heads * headDim, width),
        matrix(`${at}.self_attn.k_proj`, kvHeads * headDim, width),
        matrix(`${at}.self_attn.v_proj`, kvHeads * headDim, width),
      ]),
      ...(config.qkvBias
        ? [
            packOf(`l${layer}.qkv_bias`, [
              bias(`${at}.self_attn.q_proj`, heads * headDim),
              bias(`${at}.self_attn.k_proj`, kvHeads * headDim),
              bias(`${at}.self_attn.v_proj`, kvHeads * headDim),
            ]),
          ]
        : []),
      ...(config.qkNorm
        ? [
            packOf(`l${layer}.q_norm`, [norm(`${at}.self_attn.q_norm`, headDim)]),
            packOf(`l${layer}.k_norm`, [norm(`${at}.self_attn.k_norm`, headDim)]),
          ]
        : []),
      packOf(`l${layer}.o`, [matrix(`${at}.self_attn.o_proj`, width, heads * headDim)]),
      packOf(`l${layer}.norm2`, [norm(`${at}.post_attention_layernorm`)]),
      packOf(`l${layer}.gate_up`, [
        matrix(`${at}.mlp.gate_proj`, ffnWidth, width),
        matrix(`${at}.mlp.up_proj`, ffnWidth, width),
      ]),
      packOf(`l${layer}.down`, [matrix(`${at}.mlp.down_proj`, width, ffnWidth)]),
    );
  }
  all.push(packOf("norm", [norm("model.norm")]));
  if (!config.tied) all.push(packOf("head", [{ name: "lm_head.weight", shape: [vocabSize, width], role: "head" }]));
  return all;
}

export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  return packs(config).flatMap(({ members }) => members);
}

type Member = Omit<ParameterSpec, "pack">;

function packOf(pack: string, members: readonly Member[]): Pack {
  const rows = members.reduce((sum, { shape }) => sum + shape[0]!, 0);
  return {
    pack,
    shape: [rows, ...members[0]!.shape.slice(1)],
    members: members.map((member) => ({ ...member, pack })),
  };
}
