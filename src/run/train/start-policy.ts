/** @file The policy that a run starts from: the recipe's model and engine, or what a program supplies. */
import { openEngine } from "../engines/open-engine.ts";
import type { OpenOptions, OpenPolicy } from "../engines/open-policy.ts";
import { openSuppliedLearner } from "../engines/supplied-learner.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { TrainOptions } from "./train-options.ts";

export function startPolicy(
  recipe: Recipe,
  { learner, tokenizer, environment }: Pick<TrainOptions, "learner" | "tokenizer" | "environment">,
): Promise<OpenPolicy> {
  const protocol = environment?.protocol;
  if (learner) return openSuppliedLearner(recipe, { learner, tokenizer, protocol });
  return openStart(recipe, { training: true, concurrency: recipe.rolloutBatch.concurrency, protocol });
}

/** The recipe's model with the recipe's engine. */
export function openStart(
  recipe: Recipe,
  how: Pick<OpenOptions, "training" | "concurrency" | "protocol">,
): Promise<OpenPolicy> {
  const { model, lora, seed, engine, protocol, prompt, promptFile, rollout } = recipe;
  return openEngine(model, {
    ...how,
    engine,
    lora: lora && { ...lora, seed },
    settings: { protocol, prompt, promptFile, rollout },
  });
}
