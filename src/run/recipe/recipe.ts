/**
 * @file The schema of a recipe, which defines a run. Each group has its schema in the folder that uses it, and each
 * default exists once.
 */
import { z } from "zod";
import { fileNameRule, isFileName } from "../../base/file-name.ts";
import { LoraConfig } from "../../engine/lora-config.ts";
import { EstimatorConfig, KlConfig, LossConfig, OptimizerConfig } from "../../rl/config.ts";
import { EngineSettings } from "./engine-settings.ts";
import { PolicySettings } from "./policy-settings.ts";
import { RecipeStage } from "./recipe-stage.ts";
import { SearchConfig } from "./search-settings.ts";

const DataConfig = z.strictObject({
  source: z.enum(["world", "file"]).default("world"),
  worldSeeds: z
    .array(z.int().min(0))
    .min(1)
    .max(1024)
    .default([0])
    .describe("Seeds of the training worlds, one world each."),
  file: z.string().optional().describe("Questions with gold answers; a stage may have its own."),
  perAnswer: z
    .int()
    .min(1)
    .optional()
    .describe(
      "For a file: use at most this many questions with the same answer (the first ones), because a frequent answer can be learnt without reading.",
    ),
  answerShown: z
    .boolean()
    .default(false)
    .describe(
      "For a file: use only questions for which a search with the question's own words shows an answer; others do not teach reading. Yes-or-no questions never qualify.",
    ),
});

const evaluationSet = (questions: number, worldSeed: number, decode: readonly ("greedy" | "sampled")[]) =>
  z
    .strictObject({
      questions: z.int().min(1).max(1_000_000).default(questions),
      worldSeed: z
        .int()
        .min(0)
        .default(worldSeed)
        .describe("Seed of the unseen worlds, if questions come from worlds."),
      decode: z
        .array(z.enum(["greedy", "sampled"]))
        .min(1)
        .default([...decode]),
    })
    .prefault({});

const EvalConfig = z.strictObject({
  every: z
    .int()
    .min(0)
    .default(25)
    .describe("Steps between evaluations; 0 evaluates only at the start and after each stage."),
  file: z.string().optional().describe("Held-out questions; required if the training questions are a file."),
  curve: evaluationSet(160, 101, ["greedy"]).describe(
    "Number of questions in every evaluation; their EM decides which checkpoint is best.",
  ),
  full: evaluationSet(500, 1, ["greedy", "sampled"]).describe("Number of questions at the start and after each stage."),
});

export const Recipe = z.strictObject({
  name: z.string().refine(isFileName, fileNameRule).describe("Name of the run's folder."),
  seed: z.int().min(0).default(0).describe("Seed of everything random."),
  model: z.string().min(1).describe("Folder of the policy to start from."),
  lora: LoraConfig.optional().describe("Trains an adapter of the model; default: all weights are trained."),
  search: SearchConfig.prefault({}),
  ...PolicySettings.shape,
  data: DataConfig.prefault({}),
  stages: z
    .array(RecipeStage)
    .min(1)
    .max(1000)
    .refine((stages) => new Set(stages.map(({ name }) => name)).size === stages.length, "expected distinct names"),
  rolloutBatch: z
    .strictObject({
      questions: z.int().min(1).max(65_536).default(16).describe("New questions per step."),
      siblings: z.int().min(2).max(1024).default(8).describe("Attempts per question."),
      concurrency: z.int().min(1).max(65_536).default(128).describe("Simultaneous attempts."),
    })
    .prefault({}),
  stepsPerRollout: z.int().min(1).max(1024).default(2).describe("Optimiser steps per rollout."),
  estimator: EstimatorConfig.prefault({}),
  loss: LossConfig.prefault({}),
  kl: KlConfig.optional().describe("Default: no KL term."),
  optimizer: OptimizerConfig.prefault({}),
  eval: EvalConfig.prefault({}),
  engine: EngineSettings,
  checkpoint: z
    .strictObject({
      every: z.int().min(1).default(10).describe("Steps between checkpoints."),
      everyMinutes: z
        .number()
        .positive()
        .optional()
        .describe(
          "Also saves at the end of a step if the last checkpoint is older than this. The clock affects which steps are saved, but not what is learnt.",
        ),
      keep: z
        .int()
        .min(1)
        .max(10_000)
        .default(2)
        .describe("Number of latest checkpoints kept, besides stage ends and the best."),
    })
    .prefault({}),
});
export type Recipe = z.infer<typeof Recipe>;

/**
 * A recipe as it is written: keys that have a default may be absent, and with `extends`, which names another recipe or
 * the path of one, all that it says may be absent too, except the name.
 */
export type RecipeInput = z.input<typeof Recipe> | (Partial<z.input<typeof Recipe>> & ExtendingRecipe);

interface ExtendingRecipe {
  readonly extends: string;
  readonly name: string;
}
