import { z } from "zod";
import { RewardSpec, rewardPresets } from "../reward/stages.ts";

export const EstimatorConfig = z.strictObject({
  kind: z
    .enum(["reinforce++-baseline", "grpo"])
    .default("reinforce++-baseline")
    .describe("How siblings are compared: reward minus the group's mean, or that divided by the group's deviation."),
  whiten: z
    .enum(["batch", "std-only", "none"])
    .optional()
    .describe("Scaling over the policy tokens of the batch; default batch for reinforce++-baseline, none for grpo."),
  clip: z.number().positive().default(10).describe("Bound of reward minus group mean (reinforce++-baseline)."),
});
export type EstimatorConfig = z.infer<typeof EstimatorConfig>;

export const LossConfig = z.strictObject({
  clipLow: z.number().min(0).max(1).default(0.2).describe("The ratio is clipped below at 1 − this."),
  clipHigh: z.number().min(0).default(0.2).describe("The ratio is clipped above at 1 + this."),
  normaliser: z
    .enum(["sequence", "token"])
    .default("sequence")
    .describe("What has equal weight in an update: attempts, or policy tokens."),
});
export type LossConfig = z.infer<typeof LossConfig>;

export const OptimizerConfig = z.strictObject({
  kind: z.enum(["adamw", "muon"]).default("adamw"),
  learningRate: z.number().positive().default(2e-6).describe("Full rate; a stage may name its own."),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.95),
  epsilon: z.number().positive().default(1e-8),
  weightDecay: z.number().min(0).default(0),
  maxGradNorm: z.number().min(0).default(1).describe("Clip to this global norm; 0 is off."),
  schedule: z.enum(["constant", "linear", "cosine"]).default("constant"),
  warmupSteps: z.int().min(0).default(0).describe("Steps over which the rate rises to its full value."),
  finalShare: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe("What is left of the rate at the last step (linear, cosine)."),
});
export type OptimizerConfig = z.infer<typeof OptimizerConfig>;

export const QuestionMixConfig = z.strictObject({
  "1-hop": z.number().min(0).default(0),
  "2-hop": z.number().min(0).default(0),
  comparison: z.number().min(0).default(0),
});

export const StageConfig = z.strictObject({
  name: z.string().min(1).describe("Names its evaluation; also the checkpoint at its end."),
  steps: z.int().positive(),
  reward: z
    .union(RewardSpec.options, { error: `expected a list of rules or one of ${Object.keys(rewardPresets).join(", ")}` })
    .describe("A preset, or rules whose values are added."),
  learningRate: z.number().positive().optional().describe("Default: optimizer.learningRate."),
  mix: QuestionMixConfig.optional().describe("Shares of question types (fictional world)."),
  file: z.string().optional().describe("Question file of this stage; default data.file."),
});
export type StageConfig = z.infer<typeof StageConfig>;

/** Everything the training loop reads of a recipe. */
export interface TrainerConfig {
  readonly estimator: EstimatorConfig;
  readonly loss: LossConfig;
  readonly optimizer: OptimizerConfig;
  /** Optimiser steps that one rollout is used for. */
  readonly stepsPerRollout: number;
  /** How many published versions old a trajectory may be. */
  readonly maxLag: number;
  /** Steps between evaluations; 0 evaluates at base and stage ends only. */
  readonly evalEvery: number;
  readonly checkpointEvery: number;
}
