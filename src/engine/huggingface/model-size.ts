/** @file How large a model is, from its configuration alone. */
import { type ModelConfig, packs, sizeOf } from "./model-config.ts";

/** All weights; a tied head is counted once. */
export function parameterCount(config: ModelConfig): number {
  return packs(config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** Weights of the matrix products of all layers, without embedding and head. */
export function layerParameterCount({
  layers,
  width,
  heads,
  kvHeads,
  headDim,
  ffnWidth,
}: Pick<ModelConfig, "layers" | "width" | "heads" | "kvHeads" | "headDim" | "ffnWidth">): number {
  return layers * width * ((2 * heads + 2 * kvHeads) * headDim + 3 * ffnWidth);
}
