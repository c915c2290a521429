/** @file Everything that defines a run. Each group is the schema of the folder that reads it; defaults exist once. */
import { z } from "zod";
import { LoraConfig } from "../../engine/lora.ts";
import { EstimatorConfig, KlConfig, LossConfig, OptimizerConfig } from "../../rl/config.ts";
import { PolicySettings } from "./policy-settings.ts";
import { RecipeStage } from "./recipe-stage.ts";
import { SearchConfig } from "./search-settings.ts";

const DataConfig = z.strictObject({
  source: z.enum(["world", "file"]).default("world"),
  worldSeeds: z.array(z.int().min(0)).min(1).default([0]).describe("One training world for each seed."),
  file: z.string().optional().describe("Questions with gold answers; a stage may name its own."),
  perAnswer: z
    .int()
    .min(1)
    .optional()
    .describe(
      "Of a file, at most so many questions with the same answer, the first ones: a common answer can be learnt without reading.",
    ),
  answerShown: z
    .boolean()
    .default(false)
    .describe(
      "Of a file, only questions to which a search for them, word by word, shows an answer: others teach no reading. Yes and no are never shown.",
    ),
});

const evaluationSet = (questions: number, worldSeed: number, decode: readonly ("greedy" | "sampled")[]) =>
  z
    .strictObject({
      questions: z.int().min(1).default(questions),
      worldSeed: z.int().min(0).default(worldSeed).describe("Which unseen worlds, where questions come from worlds."),
      decode: z
        .array(z.enum(["greedy", "sampled"]))
        .min(1)
        .default([...decode]),
    })
    .prefault({});

const EvalConfig = z.strictObject({
  every: z.int().min(0).default(25).describe("Steps between evaluations; 0 is at base and stage ends only."),
  file: z.string().optional().describe("Held-out questions; needed where the training questions are a file."),
  curve: evaluationSet(160, 101, ["greedy"]).describe("Asked every time; its EM decides which checkpoint is best."),
  full: evaluationSet(500, 1, ["greedy", "sampled"]).describe("Asked at base and stage ends."),
});

export const Recipe = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]+$/, "expected letters, digits, dots and dashes")
    .describe("Names the run's folder."),
  seed: z.int().min(0).default(0).describe("Everything random follows from it."),
  model: z.string().min(1).describe("Folder of the policy to start from."),
  lora: LoraConfig.optional().describe("Trains an adapter over the model; default: all weights are trained."),
  search: SearchConfig.prefault({}),
  ...PolicySettings.shape,
  data: DataConfig.prefault({}),
  stages: z
    .array(RecipeStage)
    .min(1)
    .refine((stages) => new Set(stages.map(({ name }) => name)).size === stages.length, "expected names that differ"),
  rolloutBatch: z
    .strictObject({
      questions: z.int().min(1).default(16).describe("Fresh questions of a step."),
      siblings: z.int().min(2).default(8).describe("Attempts at each."),
      concurrency: z.int().min(1).default(128).describe("Attempts at once."),
    })
    .prefault({}),
  stepsPerRollout: z.int().min(1).default(2).describe("Optimiser steps that one rollout is used for."),
  estimator: EstimatorConfig.prefault({}),
  loss: LossConfig.prefault({}),
  kl: KlConfig.optional().describe("Default off."),
  optimizer: OptimizerConfig.prefault({}),
  eval: EvalConfig.prefault({}),
  engine: z
    .strictObject({
      workers: z.int().min(1).optional(),
      threads: z.int().min(1).optional(),
      maxMemoryGb: z
        .number()
        .positive()
        .optional()
        .describe(
          "Memory of the run in GB, planned to 96 %; it limits attempts at once. Default 80 % of what is free.",
        ),
      recompute: z
        .boolean()
        .optional()
        .describe("Computes layers anew on the way back: less memory, a third more work in learning."),
    })
    .prefault({})
    .describe("Default: what suits the policy's size and this machine."),
  checkpoint: z
    .strictObject({
      every: z.int().min(1).default(10).describe("Steps between checkpoints."),
      everyMinutes: z
        .number()
        .positive()
        .optional()
        .describe(
          "And at the end of a step where the last one is so old. Which steps these are is up to the clock; what is learnt is not.",
        ),
      keep: z.int().min(1).default(2).describe("The newest ones kept, besides stage ends and the best."),
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
