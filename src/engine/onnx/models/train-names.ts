import type { LossForm } from "../graph/losses.ts";

/** The names of the training graphs' inputs and outputs, apart from the weights. */
export const trainNames = {
  weight: (pack: string) => pack,
  /** The gradient accumulated so far; may be the same buffer as `newGradient`. */
  gradient: (pack: string) => `gradient.${pack}`,
  newGradient: (pack: string) => `new_gradient.${pack}`,
  ids: "ids", // int32 [N]
  rows: "rows", // int32 [R]
  inverse: "inverse", // int32 [N]
  target: "target", // int32 [R, 1]
  shape: "shape", // int64 [4]
  edges: "edges", // int64 [QUERY_BLOCKS + 1]
  past: "past", // int64 [1]
  mask: "mask",
  cos: "cos",
  sin: "sin",
  negativeSin: "negative_sin",
  lossWeight: "loss_weight", // [R, 1]
  advantage: "advantage",
  oldLogprob: "old_logprob",
  ratioFloor: "ratio_floor", // [1]
  ratioCeiling: "ratio_ceiling",
  dualClip: "dual_clip", // [1]
  klCoefficient: "kl_coefficient", // [1]
  referenceLogprob: "reference_logprob", // [R, 1]
  logprob: "logprob", // [R, 1]
  /**
   * Gradient of the embedded tokens, [N, width]; the host adds it to the embedding's rows. Absent if the embedding is
   * frozen.
   */
  embedded: "embedded_gradient",
  /**
   * Keys and values of a shared prompt, by layer: [1, kvHeads, P, headDim]. The prompt's graph outputs them; the graph
   * of the sequences that follow it takes them as inputs.
   */
  keys: (layer: number) => `keys.${layer}`,
  values: (layer: number) => `values.${layer}`,
  keysGradient: (layer: number) => `keys_gradient.${layer}`,
  valuesGradient: (layer: number) => `values_gradient.${layer}`,
  newKeysGradient: (layer: number) => `new_keys_gradient.${layer}`,
  newValuesGradient: (layer: number) => `new_values_gradient.${layer}`,
  /** Input and output of a single layer: [N, width]. */
  layerInput: "layer_input",
  layerOutput: "layer_output",
  layerInputGradient: "layer_input_gradient",
  layerOutputGradient: "layer_output_gradient",
} as const;

/** A loss, or "logprobs" for the forward pass alone. */
export type TrainGraphKind = LossForm | "logprobs";
