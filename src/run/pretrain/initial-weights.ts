import { randomOf } from "../../base/random.ts";
import { type ModelConfig, packs, sizeOf } from "../../engine/huggingface/model-config.ts";
import type { NamedTensor } from "../../engine/huggingface/safetensors.ts";
import { startCopying } from "./copying-start.ts";

const initialDeviation = 0.02;

/**
 * Weights of a policy that has learnt nothing: normal with deviation 0.02, gains 1, biases 0, and the matrices that write into
 * the residual stream scaled by 1/√(2·layers), so that its size does not grow with depth (GPT-2's rule). One head in
 * each of the first two layers then gets numbers that copy (copying-start.ts).
 */
export function initialWeights(config: ModelConfig, seed: number): NamedTensor[] {
  const residual = 1 / Math.sqrt(2 * config.layers);
  const tensors = packs(config).flatMap(({ members }) =>
    members.map(({ name, shape, role }) => {
      const length = sizeOf(shape);
      if (role === "bias") return { name, shape, data: new Float32Array(length) };
      if (role === "norm") return { name, shape, data: new Float32Array(length).fill(1) };
      const writesResidual = name.endsWith("o_proj.weight") || name.endsWith("down_proj.weight");
      const random = randomOf(seed, "weights", name);
      const deviation = initialDeviation * (writesResidual ? residual : 1);
      return { name, shape, data: Float32Array.from({ length }, () => deviation * random.normal()) };
    }),
  );
  startCopying(config, tensors, { seed, deviation: initialDeviation });
  return tensors;
}
