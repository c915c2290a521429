/** @file A stage of a recipe: what the training loop reads of it, and which questions are asked. */
import { z } from "zod";
import { StageConfig } from "../../rl/config.ts";

const QuestionMixConfig = z.strictObject({
  "1-hop": z.number().min(0).default(0),
  "2-hop": z.number().min(0).default(0),
  comparison: z.number().min(0).default(0),
  "3-hop": z.number().min(0).optional().describe("Three look-ups in a row; needs rollout.maxSearches 3 or more."),
});

export const RecipeStage = StageConfig.extend({
  mix: QuestionMixConfig.optional().describe("Shares of question types (fictional world)."),
  file: z.string().optional().describe("Question file of this stage; default data.file."),
});
export type RecipeStage = z.infer<typeof RecipeStage>;
