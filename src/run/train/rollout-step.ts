/** @file The part of a training step that asks, from a recipe. */
import type { TrainerParts } from "../../rl/parts.ts";
import { collectGroups } from "../../rollout/collect.ts";
import type { Searcher } from "../../search/searcher.ts";
import type { OpenPolicy } from "../engines/open-policy.ts";
import type { Recipe } from "../recipe/recipe.ts";

export interface RolloutStepParts {
  readonly recipe: Pick<Recipe, "seed" | "rolloutBatch">;
  readonly policy: OpenPolicy;
  readonly searcher: Searcher;
}

export function rolloutStep({ recipe, policy, searcher }: RolloutStepParts): TrainerParts["rollOut"] {
  return async (questions, { step, firstQuestion, sampler, attempt, signal }) => {
    const { groups } = await collectGroups(questions, {
      sampler,
      searcher,
      tokenizer: policy.tokenizer,
      protocol: policy.protocol,
      config: policy.rollout,
      promptOf: policy.promptFor,
      siblings: recipe.rolloutBatch.siblings,
      concurrency: policy.concurrency, // a tape that waits has its place in the cache
      // going back over a stretch needs other draws than those that led to trouble
      key: { seed: recipe.seed + 1_000_003 * attempt, step },
      numberOf: (index) => firstQuestion + index,
      signal,
    });
    return groups;
  };
}
