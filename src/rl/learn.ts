import { EngineError } from "../base/errors.ts";
import type { Learner } from "../engine/engine.ts";
import { type ScoredAttempt, splitForUpdates, toBatch } from "./batch.ts";
import type { OptimizerConfig, TrainerConfig } from "./config.ts";
import { drift } from "./loss.ts";
import { trainedTokens, type UpdateReport } from "./metrics.ts";

/** So many refused updates in a row are no accident. */
export const MAX_REFUSED = 3;

export interface LearnOptions {
  readonly config: TrainerConfig;
  readonly policyVersion: number;
  readonly learningRate: number;
  /** Updates refused in a row until now. */
  readonly refused: number;
  /** True: give up before the first update; nothing is lost, no weight has changed. */
  readonly abandon: () => boolean;
}

/**
 * The updates of one step, each from its share of every group.
 * @returns undefined where it was abandoned: weights are as they were
 */
export async function learn(
  groups: readonly (readonly ScoredAttempt[])[],
  learner: Learner,
  { config, policyVersion, learningRate, refused: refusedBefore, abandon }: LearnOptions,
): Promise<{ report: UpdateReport; refused: number } | undefined> {
  const { clipLow, clipHigh, normaliser } = config.loss;
  const [losses, gradNorms]: [number[], number[]] = [[], []];
  let [applied, refused, inARow, empty, nonFiniteLogprobs, tokens, maxRatio, clipped] = [
    0,
    0,
    refusedBefore,
    0,
    0,
    0,
    0,
    0,
  ];
  let mismatchKl: number | undefined;
  for (const attempts of splitForUpdates(groups, config.stepsPerRollout)) {
    const batch = toBatch(attempts, { normaliser, policyVersion, maxLag: config.maxLag });
    nonFiniteLogprobs += batch.nonFiniteLogprobs;
    if (batch.sequences.length === 0) {
      empty++;
      continue;
    }
    if (applied === 0 && abandon()) return undefined;
    const forward = await learner.forwardBackward(batch.sequences, { kind: "ppo", clipLow, clipHigh });
    if (applied === 0 && abandon()) return undefined;
    const update = await learner.optimStep(optimSpec(config.optimizer, learningRate));
    tokens += trainedTokens(batch.sequences);
    if (!update.applied) {
      refused++;
      if (++inARow >= MAX_REFUSED) break;
      continue;
    }
    if (!Number.isFinite(forward.loss))
      throw new EngineError(`the loss is ${forward.loss} although its gradient is finite`);
    const moved = drift(batch.sequences, forward.logprobs, config.loss);
    if (applied === 0) mismatchKl = moved.kl;
    maxRatio = Math.max(maxRatio, moved.maxRatio);
    clipped += moved.clippedShare * moved.tokens;
    applied++;
    inARow = 0;
    losses.push(forward.loss);
    gradNorms.push(update.gradNorm);
  }
  const report = { learningRate, applied, refused, empty, nonFiniteLogprobs, trainedTokens: tokens, losses, gradNorms };
  return {
    report: { ...report, mismatchKl, maxRatio, clippedShare: tokens === 0 ? 0 : clipped / tokens },
    refused: inARow,
  };
}

function optimSpec(optimizer: OptimizerConfig, learningRate: number) {
  const { kind, beta1, beta2, epsilon, weightDecay, maxGradNorm } = optimizer;
  return { kind, learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm };
}
