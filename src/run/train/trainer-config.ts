import type { TrainerConfig } from "../../rl/config.ts";
import type { Recipe } from "../recipe/recipe.ts";

/** What of a recipe the training loop reads. @param over values in place of the recipe's */
export function trainerConfig(recipe: Recipe, over: Partial<TrainerConfig> = {}): TrainerConfig {
  const { estimator, loss, kl, optimizer, stepsPerRollout, eval: evaluation, checkpoint, search } = recipe;
  return {
    estimator,
    loss,
    kl,
    optimizer,
    stepsPerRollout,
    maxLag: 0,
    evalEvery: evaluation.every,
    checkpointEvery: checkpoint.every,
    ...(checkpoint.everyMinutes === undefined ? {} : { checkpointSeconds: 60 * checkpoint.everyMinutes }),
    stopAfterEmptySteps: search.stopAfterEmptySteps,
    ...over,
  };
}
