/** @file The attempts of one step on their way from rewards to the loss. */

import type { Reward } from "../reward/reward.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import type { Advantages, Attempt } from "./advantage.ts";
import { policyTokenCount, type ScoredAttempt } from "./batch.ts";
import type { KlConfig } from "./config.ts";
import { lossTerm, type ReferenceLogprobs, tokenRewards } from "./kl.ts";

/** [B][G] */
export type Groups = readonly (readonly Trajectory[])[];
/** [B][G]; undefined where the environment failed the attempt. */
export type Rewards = readonly (readonly (Reward | undefined)[])[];

export interface KlOptions {
  readonly references: ReferenceLogprobs;
  readonly kl: KlConfig | undefined;
}

export function survivorsOf(groups: Groups, rewards: Rewards): Trajectory[] {
  return groups.flatMap((group, b) => group.filter((_, g) => rewards[b]![g] !== undefined));
}

/** What advantages are made of. */
export function attemptsOf(groups: Groups, rewards: Rewards, { references, kl }: KlOptions): Attempt[][] {
  return groups.map((group, b) =>
    group.map((trajectory, g) => ({
      reward: rewards[b]![g]?.total,
      policyTokens: policyTokenCount(trajectory.tape),
      ...tokenRewards(trajectory, references, kl),
    })),
  );
}

/** What is learnt from, without the attempts that are left out. */
export function scoredAttempts(
  groups: Groups,
  { values, byToken }: Advantages,
  { references, kl }: KlOptions,
): ScoredAttempt[][] {
  return groups.map((group, b) =>
    group.flatMap((trajectory, g): ScoredAttempt[] => {
      const advantage = values[b]![g];
      if (advantage === undefined) return [];
      const referenceLogprobs = lossTerm(kl) && references.get(trajectory);
      return [{ trajectory, advantage, tokenAdvantages: byToken[b]![g], referenceLogprobs }];
    }),
  );
}
