/** @file `config.json` of a Hugging Face folder, and which tensors a model of that shape has. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError, messageOf } from "../../base/errors.ts";

export interface ModelConfig {
  readonly family: "llama";
  readonly vocabSize: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffnWidth: number;
  readonly contextLength: number;
  readonly rmsEpsilon: number;
  readonly ropeTheta: number;
  /** The output head is the embedding. */
  readonly tied: boolean;
  /** The file as it was; written back with the weights. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export interface ParameterSpec {
  /** As the safetensors file names it. */
  readonly name: string;
  /** [out, in], or [n]. */
  readonly shape: readonly number[];
  readonly role: "embedding" | "head" | "matrix" | "norm";
}

/** Tensors that lie side by side in memory and enter the graph as one: q, k and v are one matrix product. */
export interface Pack {
  readonly pack: string;
  readonly shape: readonly number[];
  readonly members: readonly ParameterSpec[];
}

const MAX_CONFIG_BYTES = 10 * 2 ** 20;

/** @throws EngineError where the folder has no usable config.json */
export function readModelConfig(directory: string): ModelConfig {
  const file = join(directory, "config.json");
  let json: unknown;
  try {
    if (statSync(file).size > MAX_CONFIG_BYTES) throw new Error("it is larger than 10 MB");
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new EngineError(`${file} cannot be read: ${messageOf(cause)}`, {
      hint: "a model is a Hugging Face folder: config.json, tokenizer.json and model.safetensors",
      cause,
    });
  }
  return parseModelConfig(json, file);
}

export function parseModelConfig(json: unknown, file: string): ModelConfig {
  const fail = (message: string, hint?: string): never => {
    throw new EngineError(`${file}: ${message}`, { hint });
  };
  if (typeof json !== "object" || json === null || Array.isArray(json)) return fail("it is not a JSON object");
  const raw = json as Record<string, unknown>;
  if (raw["model_type"] !== "llama") {
    fail(
      `model_type is ${JSON.stringify(raw["model_type"])}`,
      "supported today: llama (Llama 2 shapes, SmolLM2, nano)",
    );
  }
  refuseUnsupported(raw, fail);
  const whole = (key: string, fallback?: number): number => {
    const value = raw[key] ?? fallback;
    if (typeof value === "number" && Number.isSafeInteger(value) && value > 0 && value < 2 ** 31) return value;
    return fail(`"${key}" is ${JSON.stringify(raw[key])}; expected a positive whole number`);
  };
  const positive = (value: unknown, key: string, fallback: number): number => {
    const number = value ?? fallback;
    if (typeof number === "number" && Number.isFinite(number) && number > 0) return number;
    return fail(`"${key}" is ${JSON.stringify(value)}; expected a positive number`);
  };
  const width = whole("hidden_size");
  const heads = whole("num_attention_heads");
  const kvHeads = whole("num_key_value_heads", heads);
  const headDim = whole("head_dim", width / heads);
  if (heads % kvHeads !== 0) fail(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`);
  if (headDim % 2 !== 0) fail(`head_dim ${headDim} is odd; rotary positions turn pairs`);
  const rope = raw["rope_parameters"] as Record<string, unknown> | undefined;
  return {
    family: "llama",
    vocabSize: whole("vocab_size"),
    width,
    layers: whole("num_hidden_layers"),
    heads,
    kvHeads,
    headDim,
    ffnWidth: whole("intermediate_size"),
    contextLength: whole("max_position_embeddings", 2048),
    rmsEpsilon: positive(raw["rms_norm_eps"], "rms_norm_eps", 1e-6),
    ropeTheta: positive(rope?.["rope_theta"] ?? raw["rope_theta"], "rope_theta", 10_000),
    tied: raw["tie_word_embeddings"] === true,
    raw,
  };
}

function refuseUnsupported(raw: Record<string, unknown>, fail: (message: string, hint?: string) => never): void {
  const rope = (raw["rope_parameters"] ?? raw["rope_scaling"]) as Record<string, unknown> | null | undefined;
  const ropeType = rope?.["rope_type"] ?? rope?.["type"] ?? "default";
  if (rope && ropeType !== "default") fail(`rope scaling ${JSON.stringify(ropeType)} is not supported yet`);
  for (const key of ["attention_bias", "mlp_bias"]) if (raw[key] === true) fail(`"${key}": true is not supported`);
  if ((raw["hidden_act"] ?? "silu") !== "silu")
    fail(`hidden_act ${JSON.stringify(raw["hidden_act"])} is not supported; silu is`);
  if (raw["quantization_config"])
    fail("quantised weights are not supported", "use the f32, f16 or bf16 weights of the same model");
}

export function writeModelConfig(directory: string, config: ModelConfig): void {
  writeFileSync(join(directory, "config.json"), `${JSON.stringify(config.raw, null, 2)}\n`);
}

export function packs(config: ModelConfig): Pack[] {
  const { width, heads, kvHeads, headDim, ffnWidth, vocabSize } = config;
  const matrix = (name: string, out: number, into: number): ParameterSpec => ({
    name: `${name}.weight`,
    shape: [out, into],
    role: "matrix",
  });
  const norm = (name: string): ParameterSpec => ({ name: `${name}.weight`, shape: [width], role: "norm" });
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

function packOf(pack: string, members: readonly ParameterSpec[]): Pack {
  const [first] = members;
  const rows = members.reduce((sum, { shape }) => sum + shape[0]!, 0);
  return { pack, shape: [rows, ...first!.shape.slice(1)], members };
}
