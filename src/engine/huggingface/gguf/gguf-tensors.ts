/** @file The tensors of a model with llama.cpp's names and layout. */
import { EngineError } from "../../../base/errors.ts";
import { type ModelConfig, parameterSpecs } from "../model-config.ts";
import { rotaryFrequencies } from "../rope.ts";
import type { TensorSource } from "../weights-writer.ts";

/** Hugging Face names within a layer, and the GGUF names. */
const inLayer: Readonly<Record<string, string>> = {
  "input_layernorm.weight": "attn_norm.weight",
  "self_attn.q_proj.weight": "attn_q.weight",
  "self_attn.k_proj.weight": "attn_k.weight",
  "self_attn.v_proj.weight": "attn_v.weight",
  "self_attn.q_proj.bias": "attn_q.bias",
  "self_attn.k_proj.bias": "attn_k.bias",
  "self_attn.v_proj.bias": "attn_v.bias",
  "self_attn.q_norm.weight": "attn_q_norm.weight",
  "self_attn.k_norm.weight": "attn_k_norm.weight",
  "self_attn.o_proj.weight": "attn_output.weight",
  "post_attention_layernorm.weight": "ffn_norm.weight",
  "mlp.gate_proj.weight": "ffn_gate.weight",
  "mlp.up_proj.weight": "ffn_up.weight",
  "mlp.down_proj.weight": "ffn_down.weight",
};
const outsideLayers: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
};

export function ggufName(name: string): string {
  const [, layer, part = ""] = /^model\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
  const found = layer === undefined ? outsideLayers[name] : inLayer[part];
  if (found === undefined) throw new Error(`${name} has no name in GGUF`);
  return layer === undefined ? found : `blk.${layer}.${found}`;
}

/** All tensors in file order. @param read reads the tensor of that Hugging Face name */
export function ggufTensors(
  config: ModelConfig,
  read: (name: string, into: Float32Array) => Promise<void>,
): TensorSource[] {
  const tensors = parameterSpecs(config).map(({ name, shape }): TensorSource => {
    const heads = interleavedHeads(config, name);
    return {
      name: ggufName(name),
      shape,
      read: async (into) => {
        if (heads === undefined) return read(name, into);
        const numbers = new Float32Array(into.length);
        await read(name, numbers);
        interleave(numbers, into, { heads, width: shape[1]! });
      },
    };
  });
  const factors = frequencyFactors(config);
  return factors ? [ropeTensor(factors), ...tensors] : tensors;
}

/**
 * The number of heads in a projection that llama.cpp expects with interleaved rotary pairs. Qwen keeps the layout of
 * this project.
 */
function interleavedHeads({ family, heads, kvHeads }: ModelConfig, name: string): number | undefined {
  if (family !== "llama") return undefined;
  if (name.endsWith(".q_proj.weight")) return heads;
  return name.endsWith(".k_proj.weight") ? kvHeads : undefined;
}

/**
 * Moves row i of the first half of a head to 2i, and row i of its second half to 2i + 1. Both are [heads × headDim,
 * width].
 */
function interleave(
  from: Float32Array,
  into: Float32Array,
  { heads, width }: { readonly heads: number; readonly width: number },
): void {
  const perHead = from.length / heads;
  const half = perHead / width / 2;
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < 2 * half; i++) {
      const row = head * perHead + i * width;
      const target = i < half ? 2 * i : 2 * (i - half) + 1;
      into.set(from.subarray(row, row + width), head * perHead + target * width);
    }
  }
}

/**
 * The divisors of the rotary frequencies under llama3 scaling. Linear scaling is a metadata key; llama.cpp reads these
 * factors for Llama only.
 */
function frequencyFactors(config: ModelConfig): Float32Array | undefined {
  if (config.ropeScaling?.kind !== "llama3") return undefined;
  if (config.family !== "llama")
    throw new EngineError(`llama.cpp does not support llama3 rope scaling in a ${config.family} model`, {
      hint: "export it with --format hf",
    });
  const plain = rotaryFrequencies({ headDim: config.headDim, ropeTheta: config.ropeTheta });
  const scaled = rotaryFrequencies(config);
  return Float32Array.from(plain, (frequency, i) => frequency / scaled[i]!);
}

function ropeTensor(factors: Float32Array): TensorSource {
  return { name: "rope_freqs.weight", shape: [factors.length], read: (into) => into.set(factors) };
}
