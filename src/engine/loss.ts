/**
 * @file Every loss in plain numbers, to be read. The embedded engine computes the same as a graph
 * (`onnx/graph/losses.ts`); a test holds the two together.
 */
import type { LossSpec, TrainingSequence } from "./engine.ts";

/** exp of more than this is no ratio that anyone means; clamped in log space, where nothing overflows. */
export const MAX_LOG_RATIO = 20;

/** A KL estimate is clamped to ± this: one odd token shall not outweigh a batch. */
export const MAX_KL = 10;

export interface TokenTerms {
  /** Under the weights that learn. */
  readonly logprob: number;
  /** Under the weights that sampled. */
  readonly oldLogprob: number;
  readonly advantage: number;
  /** Under the frozen reference; only a loss with `kl` reads it. */
  readonly referenceLogprob?: number;
}

export function termsAt(sequence: TrainingSequence, t: number, logprob: number): TokenTerms {
  const { oldLogprobs, advantages, referenceLogprobs } = sequence;
  const terms = { logprob, oldLogprob: oldLogprobs[t]!, advantage: advantages[t]! };
  return referenceLogprobs ? { ...terms, referenceLogprob: referenceLogprobs[t]! } : terms;
}

/** The sum over the tokens that have a weight. @param logprobs [T], under the weights that learn */
export function sequenceLoss(spec: LossSpec, sequence: TrainingSequence, logprobs: Float32Array): number {
  let sum = 0;
  for (let t = 1; t < logprobs.length; t++) {
    const weight = sequence.weights[t]!;
    if (weight === 0) continue;
    sum += weight * tokenLoss(spec, termsAt(sequence, t, logprobs[t]!)).loss;
  }
  return sum;
}

/** One token's loss, before its weight, and the slope of it by `logprob`. */
export function tokenLoss(spec: LossSpec, terms: TokenTerms): { loss: number; slope: number } {
  switch (spec.kind) {
    case "cross-entropy":
      return { loss: -terms.logprob, slope: -1 };
    case "ppo": {
      const policy = clippedLoss(spec, terms);
      if (!spec.kl) return policy;
      if (terms.referenceLogprob === undefined) throw new Error(`a ${spec.kl.kind} loss needs referenceLogprobs`);
      const kl = klEstimate(spec.kl.kind, terms.logprob, terms.referenceLogprob);
      const { coefficient } = spec.kl;
      return { loss: policy.loss + coefficient * kl.value, slope: policy.slope + coefficient * kl.slope };
    }
  }
}

function clippedLoss(
  { clipLow, clipHigh, dualClip }: Extract<LossSpec, { kind: "ppo" }>,
  { logprob, oldLogprob, advantage }: TokenTerms,
): { loss: number; slope: number } {
  const ratio = Math.exp(clampLog(logprob - oldLogprob));
  const clipped = Math.min(1 + clipHigh, Math.max(1 - clipLow, ratio));
  const plain = ratio * advantage;
  const bounded = clipped * advantage;
  const floor = dualClip === undefined ? Number.NEGATIVE_INFINITY : dualClip * Math.min(0, advantage);
  const isCut = plain > bounded || plain < floor; // NaN is not, and stays
  return { loss: -Math.max(Math.min(plain, bounded), floor), slope: isCut ? 0 : -plain };
}

/**
 * How far the policy is from the reference, estimated at one token that the policy sampled: "k1" is log π − log π_ref,
 * right on average but of either sign; "k2" is half its square; "k3" is e^−k1 − 1 + k1, right on average and never
 * negative (Schulman, "Approximating KL divergence"). Where the clamp holds, the slope by `logprob` is 0.
 */
export function klEstimate(
  kind: "k1" | "k2" | "k3",
  logprob: number,
  referenceLogprob: number,
): { value: number; slope: number } {
  const difference = logprob - referenceLogprob;
  const { value, slope } = unclampedKl(kind, difference);
  if (value > MAX_KL) return { value: MAX_KL, slope: 0 };
  if (value < -MAX_KL) return { value: -MAX_KL, slope: 0 };
  return { value, slope };
}

function unclampedKl(kind: "k1" | "k2" | "k3", difference: number): { value: number; slope: number } {
  switch (kind) {
    case "k1":
      return { value: difference, slope: 1 };
    case "k2":
      return { value: 0.5 * difference * difference, slope: difference };
    case "k3": {
      const lift = Math.expm1(clampLog(-difference)); // MAX_KL cuts long before this clamp changes anything
      return { value: lift + difference, slope: -lift };
    }
  }
}

export function clampLog(logRatio: number): number {
  return Math.min(MAX_LOG_RATIO, Math.max(-MAX_LOG_RATIO, logRatio));
}
