/** @file Rewards of a step's attempts. A reward may take its time, such as one that asks a judge, and it may fail. */
import pLimit from "p-limit";
import { RewardError } from "../base/errors.ts";
import type { Reward } from "../reward/reward.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import type { Groups, Rewards } from "./attempts.ts";
import { isFailed } from "./health.ts";

/** Rewards that are computed at once, unless the trainer is told another number. */
export const DEFAULT_REWARD_CONCURRENCY = 16;

/** What `TrainerParts.score` gives for the stage of a step. */
type Score = (trajectory: Trajectory, signal: AbortSignal) => Promise<Reward | undefined> | Reward | undefined;

export interface ScoreOptions {
  readonly concurrency: number | undefined;
  /** Ends the scoring at once, even where a reward does not listen to it. */
  readonly signal: AbortSignal;
}

export interface Scores {
  readonly rewards: Rewards;
  /** Why an attempt has no reward although its rollout went well. */
  readonly failures: ReadonlyMap<Trajectory, string>;
}

/**
 * Scores the attempts that the environment did not fail. Where the reward itself fails (it is undefined, or a
 * RewardError was thrown), the attempt has no reward either, which is not the same as a reward of 0. The first error of
 * any other kind is a defect: it ends the scoring and is thrown.
 *
 * @param groups [B][G]
 * @throws RewardError where the reward failed for every attempt that it was asked for
 * @throws the signal's reason where that was raised
 */
export async function scoreGroups(
  groups: Groups,
  score: Score,
  { concurrency = DEFAULT_REWARD_CONCURRENCY, signal }: ScoreOptions,
): Promise<Scores> {
  const defect = new AbortController();
  const stop = AbortSignal.any([signal, defect.signal]);
  const stopped = rejectionOn(stop);
  const failures = new Map<Trajectory, string>();
  const scoreOne = async (trajectory: Trajectory): Promise<Reward | undefined> => {
    try {
      stop.throwIfAborted();
      const reward = await Promise.race([score(trajectory, stop), stopped]);
      if (reward === undefined) failures.set(trajectory, "the reward function returned undefined");
      return reward;
    } catch (cause) {
      if (cause instanceof RewardError && !stop.aborted) {
        failures.set(trajectory, cause.message);
        return undefined;
      }
      defect.abort(cause);
      throw cause;
    }
  };
  const limit = pLimit(concurrency);
  const scoring = groups.map((group) =>
    Promise.all(group.map((trajectory) => (isFailed(trajectory) ? undefined : limit(scoreOne, trajectory)))),
  );
  await Promise.allSettled(scoring);
  stop.throwIfAborted(); // the first error, not those that followed from it
  const rewards = await Promise.all(scoring);
  checkSomeScored(rewards, failures);
  return { rewards, failures };
}

/** A step without any reward teaches nothing; without this, a run whose judge is away would go on to its end. */
function checkSomeScored(rewards: Rewards, failures: Scores["failures"]): void {
  const [because] = failures.values();
  if (because === undefined || rewards.flat().some((reward) => reward !== undefined)) return;
  throw new RewardError(`the reward failed for all ${failures.size} attempts that it was asked for: ${because}`, {
    hint: "bring back what the reward asks, then continue with --resume",
  });
}

/** A promise that is rejected with the signal's reason when that is raised, and is otherwise never settled. */
function rejectionOn(signal: AbortSignal): Promise<never> {
  const rejection = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  rejection.catch(() => {}); // where nothing waits for it any more, its rejection is no fault
  return rejection;
}
