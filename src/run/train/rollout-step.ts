/** @file The part of a training step that asks, from a recipe. */
import type { TrainerParts } from "../../rl/parts.ts";
import { collectGroups } from "../../rollout/collect.ts";
import type { EnvironmentFactory } from "../../rollout/environment.ts";
import type { TrainedPolicy } from "../engines/supplied-learner.ts";
import type { Recipe } from "../recipe/recipe.ts";

export interface RolloutStepParts {
  readonly recipe: Pick<Recipe, "seed" | "rolloutBatch">;
  readonly policy: TrainedPolicy;
  readonly environment: EnvironmentFactory;
}

export function rolloutStep({ recipe, policy, environment }: RolloutStepParts): TrainerParts["rollOut"] {
  return async (questions, { step, firstQuestion, sampler, rollbacks, signal }) => {
    const { groups } = await collectGroups(questions, {
      sampler,
      environment,
      tokenizer: policy.tokenizer,
      config: policy.rollout,
      promptOf: policy.promptFor,
      siblings: recipe.rolloutBatch.siblings,
      concurrency: policy.memory.sequences, // a tape that waits has its place in the cache
      // going back over a stretch needs other draws than those that led to trouble
      key: { seed: recipe.seed + 1_000_003 * rollbacks, step },
      numberOf: (index) => firstQuestion + index,
      signal,
    });
    return groups;
  };
}
