/** @file The method on one page: ask, roll out, score, compare siblings, learn. Everything else in `rl/` serves these lines. */
import type { Trajectory } from "../rollout/trajectory.ts";
import { type Advantages, estimateAdvantages } from "./advantage.ts";
import { attemptsOf, type Groups, scoredAttempts, survivorsOf } from "./attempts.ts";
import type { Metrics } from "./health.ts";
import { klMetrics, scoreByReference } from "./kl.ts";
import { learn } from "./learn.ts";
import { type AttemptRecord, stepMetrics, updateMetrics } from "./metrics.ts";
import type { StepContext, TrainerParts } from "./parts.ts";
import { rollOutOrWait } from "./rollout-or-wait.ts";
import { learningRateShare } from "./schedule.ts";
import { type Scores, scoreGroups } from "./score-groups.ts";
import type { Stopwatch } from "./stopwatch.ts";

export interface StepOutcome {
  readonly metrics: Metrics;
  readonly attempts: readonly AttemptRecord[];
  /** Updates refused in a row until now. */
  readonly refused: number;
}

/**
 * Makes one step: B questions, G attempts at each.
 *
 * @returns undefined where the signal was raised before any weight changed: the step was abandoned
 * @throws the signal's reason where it was raised while attempts were made or scored
 */
export async function trainStep(parts: TrainerParts, context: StepContext): Promise<StepOutcome | undefined> {
  const { curriculum, learner, config, rewardConcurrency } = parts;
  const { cursor, sampler, clock, signal } = context;
  const { step, refused } = cursor;
  const stage = curriculum.stageAt(step); // decides the questions and the reward
  const questions = curriculum.questionsFor(step); // [B]
  const groups = await clock.time("sample", () => rollOutOrWait(questions, parts, context)); // [B][G]
  const score = (trajectory: Trajectory, stop: AbortSignal) => parts.score(trajectory, stage, stop);
  const scoring = { concurrency: rewardConcurrency, signal };
  const scores = await clock.time("score", () => scoreGroups(groups, score, scoring)); // rewards: [B][G]
  const survivors = survivorsOf(groups, scores.rewards);
  const kl = { kl: config.kl, references: await askReference(survivors, parts, clock) };
  const advantages = estimateAdvantages(attemptsOf(groups, scores.rewards, kl), config.estimator); // [B][G]
  const fullRate = stage.learningRate ?? config.optimizer.learningRate;
  const learnt = await clock.time("learn", () =>
    learn(scoredAttempts(groups, advantages, kl), learner, {
      config,
      policyVersion: sampler.policyVersion,
      learningRate: fullRate * learningRateShare(step, curriculum.steps, config.optimizer),
      refused,
      abandon: () => signal.aborted,
    }),
  );
  if (!learnt) return undefined;
  const attempts = recordsOf(groups, scores, advantages);
  const metrics = {
    ...stepMetrics(attempts, advantages, { groups: groups.length, promptOf: parts.promptOf ?? (() => "") }),
    ...klMetrics(kl.references, config.kl),
    ...updateMetrics(learnt.report),
  };
  return { metrics, attempts, refused: learnt.refused };
}

function askReference(survivors: readonly Trajectory[], { config, reference }: TrainerParts, clock: Stopwatch) {
  const ask = () => scoreByReference(survivors, { kl: config.kl, reference });
  return reference ? clock.time("reference", ask) : ask();
}

/** @returns every attempt with what came of it, group after group, [B · G] */
function recordsOf(groups: Groups, { rewards, failures }: Scores, { values }: Advantages): AttemptRecord[] {
  return groups.flatMap((group, b) =>
    group.map((trajectory, g): AttemptRecord => {
      const record = { trajectory, reward: rewards[b]![g]!, advantage: values[b]![g]! };
      const rewardFailure = failures.get(trajectory);
      return rewardFailure === undefined ? record : { ...record, rewardFailure };
    }),
  );
}
