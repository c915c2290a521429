import type { Learner, LossSpec } from "../engine/engine.ts";
import { environmentAuthors, lossMask } from "../protocol/tape.ts";
import { type ScoredAttempt, splitForUpdates, toBatch } from "./batch.ts";
import type { LossConfig, OptimizerConfig, TrainerConfig } from "./config.ts";
import { lossTerm } from "./kl.ts";
import { type Drift, drift } from "./loss.ts";
import type { UpdateReport } from "./metrics.ts";
import { rescore } from "./rescore.ts";
import { UpdateTotals } from "./update-totals.ts";

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
  { config, policyVersion, learningRate, refused, abandon }: LearnOptions,
): Promise<{ report: UpdateReport; refused: number } | undefined> {
  const { truncateRatio, maskDocuments } = config.loss;
  const isAsked = truncateRatio !== undefined || !maskDocuments;
  const { scored, mismatch } = isAsked ? await askLearner(groups, learner, config.loss) : { scored: groups };
  const [loss, optimizer] = [lossSpec(config), optimSpec(config.optimizer, learningRate)];
  const totals = new UpdateTotals(refused, mismatch?.kl);
  const isAbandoned = () => totals.applied === 0 && abandon();
  for (const attempts of splitForUpdates(scored, config.stepsPerRollout)) {
    const batch = toBatch(attempts, { ...config.loss, policyVersion, maxLag: config.maxLag });
    totals.addBatch(batch);
    if (batch.sequences.length === 0) continue;
    if (isAbandoned()) return undefined;
    const forward = await learner.forwardBackward(batch.sequences, loss);
    if (isAbandoned()) return undefined;
    const update = await learner.optimStep(optimizer);
    totals.addUpdate(batch, forward, update, config.loss);
    if (totals.refusedInARow >= MAX_REFUSED) break;
  }
  const truncated = mismatch && truncateRatio !== undefined ? { truncatedShare: mismatch.clippedShare } : {};
  return { report: { ...totals.report(learningRate), ...truncated }, refused: totals.refusedInARow };
}

/** What the engine is asked to compute. */
export function lossSpec({ loss, kl }: Pick<TrainerConfig, "loss" | "kl">): LossSpec {
  const { clipLow, clipHigh, dualClip } = loss;
  const term = lossTerm(kl);
  const spec: LossSpec = { kind: "ppo", clipLow, clipHigh };
  return { ...spec, ...(dualClip === undefined ? {} : { dualClip }), ...(term ? { kl: term } : {}) };
}

/** What the learner, before its first update, says of what was sampled, and how far that is from what the sampler said. */
async function askLearner(
  groups: readonly (readonly ScoredAttempt[])[],
  learner: Learner,
  { truncateRatio = Number.POSITIVE_INFINITY, maskDocuments }: LossConfig,
): Promise<{ scored: ScoredAttempt[][]; mismatch: Drift }> {
  const attempts = groups.flat();
  const trajectories = attempts.map(({ trajectory }) => trajectory);
  const authors = maskDocuments ? (["policy"] as const) : (["policy", ...environmentAuthors] as const);
  const rows = await rescore(trajectories, learner, "the policy that learns", authors);
  const learnerLogprobs = new Map(attempts.map((attempt, i) => [attempt, rows[i]!]));
  const sampled = trajectories.map(({ tape, logprobs }) => {
    return { weights: Float32Array.from(lossMask(tape)), oldLogprobs: logprobs };
  });
  return {
    scored: groups.map((group) =>
      group.map((attempt) => ({ ...attempt, learnerLogprobs: learnerLogprobs.get(attempt) })),
    ),
    mismatch: drift(sampled, rows, { clipLow: 1, clipHigh: truncateRatio - 1 }),
  };
}

function optimSpec(optimizer: OptimizerConfig, learningRate: number) {
  const { kind, beta1, beta2, epsilon, weightDecay, maxGradNorm } = optimizer;
  return { kind, learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm };
}
