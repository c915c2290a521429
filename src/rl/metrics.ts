/** @file What one step measured, under slash-grouped names: only what a repetition of the run would measure again. */
import type { TrainingSequence } from "../engine/engine.ts";
import { answerOf, formatVerdict } from "../reward/format.ts";
import { exactMatch, f1 } from "../reward/metrics.ts";
import type { Reward } from "../reward/reward.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import type { Advantages } from "./advantage.ts";
import { entropyEstimate, type Metrics, searchGauges, share, stopShares } from "./health.ts";

/** One attempt with what came of it; reward and advantage are undefined where it was left out. */
export interface AttemptRecord {
  readonly trajectory: Trajectory;
  readonly reward: Reward | undefined;
  readonly advantage: number | undefined;
  /** Why it has no reward although its rollout went well. */
  readonly rewardFailure?: string;
}

/** What the updates of one step did. */
export interface UpdateReport {
  readonly learningRate: number;
  readonly applied: number;
  /** Updates that changed nothing, because the loss or the gradient was not finite. */
  readonly refused: number;
  /** Updates without an attempt to learn from: none had an advantage. */
  readonly empty: number;
  readonly nonFiniteLogprobs: number;
  readonly trainedTokens: number;
  /** Over updates with a finite gradient. */
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  /** KL between sampler and learner before the first update: they hold the same weights and compute them differently. */
  readonly mismatchKl: number | undefined;
  readonly maxRatio: number;
  readonly clippedShare: number;
  /** Share of tokens whose importance weight was truncated, where that is on. */
  readonly truncatedShare?: number;
}

/** @param promptOf the text that an attempt began with */
export function stepMetrics(
  attempts: readonly AttemptRecord[],
  advantages: Advantages,
  { groups, promptOf }: { readonly groups: number; readonly promptOf: (trajectory: Trajectory) => string },
): Metrics {
  const survivors = attempts.filter(({ reward }) => reward !== undefined);
  const trajectories = survivors.map(({ trajectory }) => trajectory);
  const { entropy, tokens } = entropyEstimate(trajectories);
  return {
    "reward/total": mean(survivors.map(({ reward }) => reward!.total)),
    ...rewardParts(survivors),
    "reward/failed": share(attempts.filter(({ rewardFailure }) => rewardFailure !== undefined).length, attempts.length),
    ...answerMetrics(trajectories),
    ...searchGauges(trajectories, promptOf),
    ...stopShares(attempts.map(({ trajectory }) => trajectory)),
    "policy/entropy": entropy,
    "policy/tokens": tokens,
    "policy/tokens_per_trajectory": share(tokens, survivors.length),
    "rollout/trajectories": attempts.length,
    "rollout/failed": share(attempts.length - survivors.length, attempts.length),
    "groups/zero_variance": share(advantages.zeroVarianceGroups, groups),
    "groups/dropped": share(advantages.droppedGroups, groups),
  };
}

export function updateMetrics(report: UpdateReport): Metrics {
  const { losses, gradNorms, mismatchKl } = report;
  return {
    "optim/lr": report.learningRate,
    "optim/applied": report.applied,
    "optim/refused": report.refused,
    "optim/empty": report.empty,
    "policy/trained_tokens": report.trainedTokens,
    "policy/nonfinite_logprobs": report.nonFiniteLogprobs,
    ...(losses.length > 0 ? { "optim/loss": mean(losses) } : {}),
    ...(gradNorms.length > 0 ? { "optim/grad_norm": mean(gradNorms) } : {}),
    ...(mismatchKl === undefined
      ? {}
      : {
          "policy/mismatch_kl": mismatchKl,
          "policy/max_ratio": report.maxRatio,
          "policy/clipped_share": report.clippedShare,
        }),
    ...(report.truncatedShare === undefined ? {} : { "policy/truncated_share": report.truncatedShare }),
  };
}

/** The tokens that a batch learns from. */
export function trainedTokens(batch: readonly TrainingSequence[]): number {
  return batch.reduce(
    (sum, { weights }) => sum + weights.reduce((count, weight) => count + Number(weight !== 0), 0),
    0,
  );
}

function rewardParts(survivors: readonly AttemptRecord[]): Metrics {
  const sums = new Map<string, number>();
  for (const { reward } of survivors) {
    for (const { rule, value } of reward!.parts) sums.set(rule, (sums.get(rule) ?? 0) + value);
  }
  return Object.fromEntries([...sums].map(([rule, sum]) => [`reward/${rule}`, sum / survivors.length]));
}

/** Measured the same in every stage, whatever the stage rewards. */
function answerMetrics(trajectories: readonly Trajectory[]): Metrics {
  const answers = trajectories.map(({ transcript, question }) => ({
    said: answerOf(transcript) ?? "",
    gold: question.gold,
  }));
  return {
    "answer/em": mean(answers.map(({ said, gold }) => exactMatch(said, gold))),
    "answer/f1": mean(answers.map(({ said, gold }) => f1(said, gold))),
    "format/rate": mean(trajectories.map(({ transcript }) => Number(formatVerdict(transcript).ok))),
  };
}

function mean(values: readonly number[]): number {
  return share(
    values.reduce((sum, value) => sum + value, 0),
    values.length,
  );
}
