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
  /**
   * [policyTokens]: what single tokens of the policy got besides `reward`, which comes with the last of them. Tokens of
   * others have no place here, so that none can break a return.
   */
  readonly tokenRewards?: Float64Array;
}

export interface Advantages {
  /**
   * [B][G]; one number per attempt stands for all its policy tokens (γ = 1), or is their mean. Undefined: left out of
   * the loss.
   */
  readonly values: readonly (readonly (number | undefined)[])[];
  /** [B][G][policyTokens]; undefined where the tokens of an attempt do not differ. */
  readonly byToken: readonly (readonly (Float64Array | undefined)[])[];
  /** Groups that lost too many siblings to the environment to be compared. */
  readonly droppedGroups: number;
  /** Groups whose siblings all got the same reward: nothing to prefer. */
  readonly zeroVarianceGroups: number;
}

/** One number for all policy tokens of an attempt, or one for each; undefined where it is left out. */
type Estimate = number | Float64Array | undefined;

/** A group with fewer survivors says too little about its question. */
export function groupFloor(siblings: number): number {
  return Math.ceil(0.75 * siblings);
}

/**
 * @param groups [B][G]
 * @throws EngineError naming the attempt whose reward or advantage is not finite
 */
export function estimateAdvantages(groups: readonly (readonly Attempt[])[], estimator: EstimatorConfig): Advantages {
  let droppedGroups = 0;
  let zeroVarianceGroups = 0;
  const estimates = groups.map((group, b): Estimate[] => {
    const rewards = survivingRewards(group, b);
    const floor = estimator.kind === "reinforce++" ? 1 : groupFloor(group.length); // each for itself, or compared
    if (rewards.length < Math.max(1, floor)) {
      droppedGroups++;
      return group.map(() => undefined);
    }
    if (rewards.every((reward) => reward === rewards[0])) zeroVarianceGroups++;
    const advantages = compareSiblings(rewards, estimator);
    let next = 0;
    return group.map(({ reward, tokenRewards }) => {
      if (reward === undefined) return undefined;
      const advantage = advantages[next++]!;
      return tokenRewards ? rewardToGo(tokenRewards, advantage) : advantage;
    });
  });
  const whitened = whiten(estimates, groups, whitening(estimator));
  for (const [b, row] of whitened.entries()) {
    for (const [g, estimate] of row.entries()) demandFinite(estimate, `question ${b}, sibling ${g}`);
  }
  return {
    values: whitened.map((row) => row.map((one) => (one instanceof Float64Array ? meanOf(one) : one))),
    byToken: whitened.map((row) => row.map((one) => (one instanceof Float64Array ? one : undefined))),
    droppedGroups,
    zeroVarianceGroups,
  };
}

/** The sum of what each policy token and all later ones got, undiscounted; `last` comes with the last token. */
export function rewardToGo(tokenRewards: Float64Array, last: number): Float64Array {
  const returns = new Float64Array(tokenRewards.length);
  let sum = last;
  for (let i = tokenRewards.length - 1; i >= 0; i--) {
    sum += tokenRewards[i]!;
    returns[i] = sum;
  }
  return returns;
}

/** Finite rewards give one that is not where their sum is beyond any number. */
function demandFinite(estimate: Estimate, whose: string): void {
  const values = typeof estimate === "number" ? [estimate] : (estimate ?? []);
  if (values.every(Number.isFinite)) return;
  throw new EngineError(`the advantage of ${whose} of this step is not finite`, {
    hint: "its group's rewards are too large to be compared; look at the rules of this stage's reward",
  });
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

function whitening({ kind, whiten }: EstimatorConfig): NonNullable<EstimatorConfig["whiten"]> {
  return whiten ?? (kind === "grpo" || kind === "dr-grpo" ? "none" : "batch");
}

function survivingRewards(group: readonly Attempt[], b: number): number[] {
  return group.flatMap(({ reward, policyTokens, tokenRewards }, g) => {
    if (reward === undefined) return [];
    if (tokenRewards && tokenRewards.length !== policyTokens)
      throw new Error(`${policyTokens} policy tokens, but rewards for ${tokenRewards.length}`);
    if (tokenRewards && !tokenRewards.every(Number.isFinite)) {
      throw new EngineError(`a token of question ${b}, sibling ${g} of this step has a reward that is not finite`, {
        hint: "it is a KL penalty; the frozen reference or the sampler is broken",
      });
    }
    if (Number.isFinite(reward)) return [reward];
    throw new EngineError(`the reward of question ${b}, sibling ${g} of this step is ${reward}`, {
      hint: "a reward must be a finite number; look at the rules of this stage's reward",
    });
  });
}

/**
 * Equal rewards give exact zeros where siblings are compared: nothing to prefer, so no gradient.
 *
 * @param rewards of the survivors of one group, [n]
 */
export function compareSiblings(rewards: readonly number[], { kind, clip }: EstimatorConfig): number[] {
  const bounded = (values: readonly number[]) => values.map((value) => Math.min(clip, Math.max(-clip, value)));
  if (kind === "reinforce++") return bounded(rewards);
  if (rewards.every((reward) => reward === rewards[0])) return rewards.map(() => 0);
  const sum = rewards.reduce((total, reward) => total + reward, 0);
  const mean = sum / rewards.length;
  const differences = rewards.map((reward) => reward - mean);
  switch (kind) {
    case "reinforce++-baseline":
    case "dr-grpo":
      return bounded(differences);
    case "rloo":
      return bounded(rewards.map((reward) => reward - (sum - reward) / (rewards.length - 1)));
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
  estimates: readonly (readonly Estimate[])[],
  groups: readonly (readonly Attempt[])[],
  how: NonNullable<EstimatorConfig["whiten"]>,
): Estimate[][] {
  if (how === "none") return estimates.map((row) => [...row]);
  const overTokens = (term: (advantage: number) => number) =>
    estimates.reduce(
      (sum, row, b) =>
        row.reduce((inner: number, estimate, g) => inner + sumOf(estimate, groups[b]![g]!.policyTokens, term), sum),
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
  const scaled = (value: number) => (value - centre) * scale;
  return estimates.map((row) =>
    row.map((one) => (one === undefined ? undefined : typeof one === "number" ? scaled(one) : one.map(scaled))),
  );
}

function sumOf(estimate: Estimate, tokens: number, term: (advantage: number) => number): number {
  if (estimate === undefined) return 0;
  if (typeof estimate === "number") return tokens * term(estimate);
  return estimate.reduce((sum, value) => sum + term(value), 0);
}
