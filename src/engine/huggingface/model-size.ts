/** @file Parameter counts, computed from the configuration alone. */
import { type ModelConfig, packs, sizeOf } from "./model-config.ts";

/** The number of parameters; a tied head counts once. */
export function parameterCount(config: ModelConfig): number {
  return packs(config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** Parameters of the matrices in all layers, without embedding and head. */
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
