/** @file A reward as a function, which may take its time and may fail; and one made of several rules. */
import type { Reward } from "./reward.ts";
import { type RewardRule, type RewardSpec, rewardPresets, type Scorable, scoreTrajectory } from "./stages.ts";

/**
 * Scores one attempt. It resolves to undefined, or throws a RewardError, where the reward could not be computed: the
 * attempt then counts as failed, which is not a reward of 0. Any other error is a defect and ends the run.
 *
 * @param signal raised when the reward is no longer wanted
 */
export type RewardFunction<Attempt extends Scorable = Scorable> = (
  trajectory: Attempt,
  signal?: AbortSignal,
) => Reward | undefined | Promise<Reward | undefined>;

/**
 * One reward made of rules, which are data or functions such as a judge: totals are added, parts are joined in the
 * order of the rules. It is undefined as soon as one rule's is, for a sum without one of its terms is another reward.
 */
export function rewardFromRules<Attempt extends Scorable = Scorable>(
  rules: RewardSpec | readonly (RewardRule | RewardFunction<Attempt>)[],
): (trajectory: Attempt, signal?: AbortSignal) => Promise<Reward | undefined> {
  const list = typeof rules === "string" ? rewardPresets[rules] : rules;
  return async (trajectory, signal) => {
    const scored = list.map(async (rule) =>
      typeof rule === "function" ? rule(trajectory, signal) : scoreTrajectory(trajectory, [rule]),
    );
    const rewards: Reward[] = [];
    for (const reward of await Promise.all(scored)) {
      if (reward === undefined) return undefined;
      rewards.push(reward);
    }
    return {
      total: rewards.reduce((sum, { total }) => sum + total, 0),
      parts: rewards.flatMap(({ parts }) => parts),
    };
  };
}
