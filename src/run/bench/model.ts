/** @file Models to measure with: what a peer must know of one, and one of 30 M parameters that has learnt nothing. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ModelConfig,
  packs,
  parseModelConfig,
  sizeOf,
  writeModelConfig,
} from "../../engine/huggingface/model-config.ts";
import { type NamedTensor, writeSafetensors } from "../../engine/huggingface/safetensors.ts";
import type { OnnxEngine } from "../../engine/onnx/engine.ts";
import { byteTokenizer } from "../../protocol/byte-tokenizer.ts";
import { layoutFor } from "../assemble.ts";
import { initialWeights } from "../initial-weights.ts";
import { createEngine } from "../policy.ts";
import { PolicySettings } from "../policy-settings.ts";

/** What of a model decides how much there is to compute. */
export type Shape = Pick<
  ModelConfig,
  "vocabSize" | "width" | "layers" | "heads" | "kvHeads" | "headDim" | "ffnWidth" | "rmsEpsilon" | "ropeTheta"
>;

export function shapeOf(config: ModelConfig): Shape {
  const { vocabSize, width, layers, heads, kvHeads, headDim, ffnWidth, rmsEpsilon, ropeTheta } = config;
  return { vocabSize, width, layers, heads, kvHeads, headDim, ffnWidth, rmsEpsilon, ropeTheta };
}

export const middleSize: ModelConfig = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 16_384,
    hidden_size: 512,
    intermediate_size: 1408,
    num_hidden_layers: 8,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    max_position_embeddings: 1024,
    tie_word_embeddings: true,
  },
  "the bench",
);

export interface OpenEngine {
  readonly engine: OnnxEngine;
  readonly layout: { readonly workers: number; readonly threads: number };
}

interface Given {
  readonly weights: readonly NamedTensor[];
  readonly layout: OpenEngine["layout"];
}

/** An engine with random weights in the layout that a policy of this size gets, or with what is given. */
export async function openRandom(config: ModelConfig, sequences: number, given?: Given): Promise<OpenEngine> {
  const directory = mkdtempSync(join(tmpdir(), "r1-searcher-bench-"));
  try {
    writeModelConfig(directory, config);
    const weights = given?.weights ?? initialWeights(config, 1);
    writeSafetensors(join(directory, "model.safetensors"), weights, { format: "pt" });
    const { workers, threads } = given?.layout ?? layoutFor(directory, undefined);
    const layout = { workers, threads };
    const engine = createEngine(
      { directory, config, tokenizer: byteTokenizer([]) },
      {
        ...layout,
        training: true,
        maxSequences: Math.ceil(sequences / layout.workers),
        contextLength: config.contextLength,
        settings: PolicySettings.parse({}),
      },
    );
    await engine.loadPolicy(directory);
    return { engine, layout };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Floating-point operations of one gradient that no program can do without: three products for each weight and token
 * that is computed, the head where the loss looks, and attention up to the diagonal.
 */
export function gradientFlops(config: Shape, sequences: readonly { readonly weights: Float32Array }[]): number {
  const { layers, heads, headDim, width, vocabSize } = config;
  const perToken = matrixWeights(config) * 6;
  let flops = 0;
  for (const { weights } of sequences) {
    const scored = weights.reduce((sum, weight) => sum + Number(weight !== 0), 0);
    const length = weights.findLastIndex((weight) => weight !== 0);
    flops += Math.max(0, length) * perToken + scored * 6 * width * vocabSize;
    flops += layers * 12 * heads * headDim * ((length * (length + 1)) / 2);
  }
  return flops;
}

/** Of all layers; the head is counted where the loss looks. */
export function matrixWeights({ layers, width, heads, kvHeads, headDim, ffnWidth }: Shape): number {
  return layers * width * ((2 * heads + 2 * kvHeads) * headDim + 3 * ffnWidth);
}

export function parameters(config: ModelConfig): number {
  return packs(config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}
