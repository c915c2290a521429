/**
 * @file How much better an attempt did than its siblings. An attempt that the environment failed has no reward and is
 * in neither the loss nor the statistics: what is left of its group counts as if it had never been made.
 */
import { EngineError } from "../base/errors.ts";
import type { EstimatorConfig } from "./config.ts";

export interface Attempt {
  /** Undefined where the environment failed it. */
  readonly reward: number | undefined;
  /** How many tokens of it the policy wrote: its share in the batch statistics. */
  readonly policyTokens: number;
}

export interface Advantages {
  /** [B][G]; one number per attempt stands for all its policy tokens (γ = 1). Undefined: left out of the loss. */
  readonly values: readonly (readonly (number | undefined)[])[];
  /** Groups that lost too many siblings to the environment to be compared. */
  readonly droppedGroups: number;
  /** Groups whose siblings all got the same reward: nothing to prefer. */
  readonly zeroVarianceGroups: number;
}

/** A group with fewer survivors says too little about its question. */
export function groupFloor(siblings: number): number {
  return Math.ceil(0.75 * siblings);
}

/**
 * @param groups [B][G]
 * @throws EngineError naming the attempt whose reward is not finite
 */
export function estimateAdvantages(groups: readonly (readonly Attempt[])[], estimator: EstimatorConfig): Advantages {
  let droppedGroups = 0;
  let zeroVarianceGroups = 0;
  const values = groups.map((group, b) => {
    const rewards = survivingRewards(group, b);
    if (rewards.length === 0 || rewards.length < groupFloor(group.length)) {
      droppedGroups++;
      return group.map(() => undefined);
    }
    if (rewards.every((reward) => reward === rewards[0])) zeroVarianceGroups++;
    const advantages = compareSiblings(rewards, estimator);
    let next = 0;
    return group.map(({ reward }) => (reward === undefined ? undefined : advantages[next++]));
  });
  return { values: whiten(values, groups, whitening(estimator)), droppedGroups, zeroVarianceGroups };
}

function whitening({ kind, whiten }: EstimatorConfig): NonNullable<EstimatorConfig["whiten"]> {
  return whiten ?? (kind === "grpo" ? "none" : "batch");
}

function survivingRewards(group: readonly Attempt[], b: number): number[] {
  return group.flatMap(({ reward }, g) => {
    if (reward === undefined) return [];
    if (Number.isFinite(reward)) return [reward];
    throw new EngineError(`the reward of question ${b}, sibling ${g} of this step is ${reward}`, {
      hint: "a reward must be a finite number; look at the rules of this stage's reward",
    });
  });
}

/**
 * Equal rewards give exact zeros: nothing to prefer, so no gradient.
 *
 * @param rewards of the survivors of one group, [n]
 */
export function compareSiblings(rewards: readonly number[], { kind, clip }: EstimatorConfig): number[] {
  if (rewards.every((reward) => reward === rewards[0])) return rewards.map(() => 0);
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
  const differences = rewards.map((reward) => reward - mean);
  switch (kind) {
    case "reinforce++-baseline":
      return differences.map((difference) => Math.min(clip, Math.max(-clip, difference)));
    case "grpo": {
      const variance = differences.reduce((sum, difference) => sum + difference * difference, 0) / (rewards.length - 1);
      return differences.map((difference) => difference / (Math.sqrt(variance) + 1e-9));
    }
  }
}

/**
 * Scales by the deviation over all policy tokens of the batch. "batch" also takes their mean away, as released; that
 * moves groups without variance off zero where lengths differ, which "std-only" does not.
 */
function whiten(
  values: readonly (readonly (number | undefined)[])[],
  groups: readonly (readonly Attempt[])[],
  how: NonNullable<EstimatorConfig["whiten"]>,
): (number | undefined)[][] {
  if (how === "none") return values.map((row) => [...row]);
  const overTokens = (term: (advantage: number) => number) =>
    values.reduce(
      (sum, row, b) =>
        row.reduce(
          (inner: number, value, g) => inner + (value === undefined ? 0 : groups[b]![g]!.policyTokens * term(value)),
          sum,
        ),
      0,
    );
  const tokens = Math.max(
    1,
    overTokens(() => 1),
  );
  const mean = overTokens((advantage) => advantage) / tokens;
  const variance = overTokens((advantage) => (advantage - mean) ** 2) / tokens;
  const scale = 1 / Math.sqrt(Math.max(variance, 1e-8));
  const centre = how === "batch" ? mean : 0;
  return values.map((row) => row.map((value) => (value === undefined ? undefined : (value - centre) * scale)));
}
