/**
 * @file Every loss in plain numbers, to be read. The embedded engine computes the same as a graph
 * (`onnx/graph/losses.ts`); a test holds the two together.
 */
import type { LossSpec } from "./engine.ts";

/** exp of more than this is no ratio that anyone means; clamped in log space, where nothing overflows. */
export const MAX_LOG_RATIO = 20;

export interface TokenTerms {
  /** Under the weights that learn. */
  readonly logprob: number;
  /** Under the weights that sampled. */
  readonly oldLogprob: number;
  readonly advantage: number;
}

/** One token's loss, before its weight, and the slope of it by `logprob`. */
export function tokenLoss(
  spec: LossSpec,
  { logprob, oldLogprob, advantage }: TokenTerms,
): { loss: number; slope: number } {
  switch (spec.kind) {
    case "cross-entropy":
      return { loss: -logprob, slope: -1 };
    case "ppo": {
      const ratio = Math.exp(Math.min(MAX_LOG_RATIO, Math.max(-MAX_LOG_RATIO, logprob - oldLogprob)));
      const clipped = Math.min(1 + spec.clipHigh, Math.max(1 - spec.clipLow, ratio));
      const plain = ratio * advantage;
      const bounded = clipped * advantage;
      return { loss: -Math.min(plain, bounded), slope: plain <= bounded ? -plain : 0 };
    }
  }
}
