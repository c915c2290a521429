/**
 * @file How far the weights that learn are from the weights that sampled. The loss itself is defined in plain numbers
 * in `engine/loss.ts`, where every engine's tests can reach it.
 */
import type { TrainingSequence } from "../engine/engine.ts";
import { clampLog } from "../engine/loss.ts";

export interface Drift {
  readonly tokens: number;
  /** Mean of ρ − 1 − log ρ: zero where learner and sampler agree, never negative. */
  readonly kl: number;
  readonly maxRatio: number;
  /** Share of tokens whose ratio lies outside the clip range. */
  readonly clippedShare: number;
}

/** @param logprobs under the weights that learn, [T] for each sequence */
export function drift(
  batch: readonly Pick<TrainingSequence, "weights" | "oldLogprobs">[],
  logprobs: readonly Float32Array[],
  { clipLow, clipHigh }: { readonly clipLow: number; readonly clipHigh: number },
): Drift {
  let tokens = 0;
  let kl = 0;
  let maxRatio = 0;
  let clipped = 0;
  for (const [i, { weights, oldLogprobs }] of batch.entries()) {
    for (let t = 0; t < weights.length; t++) {
      if (weights[t] === 0) continue;
      const difference = logprobs[i]![t]! - oldLogprobs[t]!;
      if (Number.isNaN(difference)) continue;
      const logRatio = clampLog(difference);
      const ratio = Math.exp(logRatio);
      tokens++;
      kl += Math.max(0, Math.expm1(logRatio) - logRatio);
      maxRatio = Math.max(maxRatio, ratio);
      if (ratio < 1 - clipLow || ratio > 1 + clipHigh) clipped++;
    }
  }
  return { tokens, kl: kl / Math.max(1, tokens), maxRatio, clippedShare: clipped / Math.max(1, tokens) };
}
