/** @file How fast a policy will be here, before it is loaded, by counting products. */
import type { ModelConfig } from "../engine/huggingface/model-config.ts";
import { gradientFlops } from "./bench/model.ts";
import { measureGemm } from "./bench/rates.ts";
import type { PlanAssumptions } from "./memory-plan.ts";

export interface SpeedPlan {
  readonly sample: number;
  readonly train: number;
}

/** Shares of the fastest matrix product that whole steps reach; decoding also reads caches and weights from memory. */
const shareOfPeak = { sample: 0.45, train: 0.75 };

/** Tokens per second, all workers together, from the fastest matrix product measured now. */
export async function predictSpeed(config: ModelConfig, assumed: PlanAssumptions): Promise<SpeedPlan> {
  const peak = await measureGemm(assumed, [512, 1024]);
  const length = Math.min(assumed.context, assumed.microBatchTokens);
  const weights = new Float32Array(length).fill(1);
  weights[0] = 0;
  const perToken = gradientFlops(config, [{ weights }]) / length;
  // going forward alone is one of the three products
  return { sample: (shareOfPeak.sample * peak) / (perToken / 3), train: (shareOfPeak.train * peak) / perToken };
}
