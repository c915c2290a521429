/** @file Models to measure with: what a peer must know of one, and one of 30 M parameters that has learnt nothing. */
import { type ModelConfig, parseModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { layerParameterCount } from "../../src/engine/huggingface/model-size.ts";
import type { OnnxEngine } from "../../src/engine/onnx/engine.ts";
import { type Layout, layoutFor } from "../../src/run/engines/layout.ts";
import { openMeasuredEngine } from "../../src/run/engines/measuring.ts";
import { initialWeights } from "../../src/run/pretrain/initial-weights.ts";

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
  readonly layout: Layout;
}

/** An engine with random weights in the layout that a policy of this size gets. */
export async function openRandom(config: ModelConfig, sequences: number): Promise<OpenEngine> {
  const layout = layoutFor(config);
  const engine = await openMeasuredEngine(config, { weights: initialWeights(config, 1), layout, sequences });
  return { engine, layout };
}

/**
 * Floating-point operations of one gradient that no program can do without: three products for each weight and token
 * that is computed, the head where the loss looks, and attention up to the diagonal.
 */
export function gradientFlops(config: Shape, sequences: readonly { readonly weights: Float32Array }[]): number {
  const { layers, heads, headDim, width, vocabSize } = config;
  const perToken = layerParameterCount(config) * 6;
  let flops = 0;
  for (const { weights } of sequences) {
    const scored = weights.reduce((sum, weight) => sum + Number(weight !== 0), 0);
    const length = weights.findLastIndex((weight) => weight !== 0);
    flops += Math.max(0, length) * perToken + scored * 6 * width * vocabSize;
    flops += layers * 12 * heads * headDim * ((length * (length + 1)) / 2);
  }
  return flops;
}
