import { z } from "zod";
import { fileNameRule, isFileName } from "../base/file-name.ts";
import { RewardSpec, rewardPresets } from "../reward/stages.ts";

export const EstimatorConfig = z.strictObject({
  kind: z
    .enum(["reinforce++-baseline", "reinforce++", "grpo", "rloo", "dr-grpo"])
    .default("reinforce++-baseline")
    .describe(
      "How rewards become advantages. reinforce++-baseline and dr-grpo: minus the group's mean; grpo: that over the group's deviation; rloo: minus the mean of the other siblings; reinforce++: as they are.",
    ),
  whiten: z
    .enum(["batch", "std-only", "none"])
    .optional()
    .describe("Scaling over the policy tokens of the batch; default none for grpo and dr-grpo, batch for the others."),
  clip: z
    .number()
    .positive()
    .default(10)
    .describe("Bound of what is left of a reward after the comparison; grpo, whose deviation bounds it, has none."),
});
export type EstimatorConfig = z.infer<typeof EstimatorConfig>;

export const LossConfig = z.strictObject({
  clipLow: z.number().min(0).max(1).default(0.2).describe("The ratio is clipped below at 1 − this."),
  clipHigh: z.number().min(0).default(0.2).describe("The ratio is clipped above at 1 + this."),
  normaliser: z
    .enum(["sequence", "token"])
    .default("sequence")
    .describe("What has equal weight in an update: attempts, or the tokens that are learnt from."),
  maskDocuments: z
    .boolean()
    .default(true)
    .describe(
      "false, for comparison only, learns from documents as if the policy had written them: same weight, same advantage, and the learner's own log-probabilities before the step's first update as the old ones. Costs one more forward pass a step.",
    ),
  dualClip: z
    .number()
    .gt(1)
    .optional()
    .describe("Bound of the loss of a token with negative advantage, in advantages; absent is off."),
  truncateRatio: z
    .number()
    .min(1)
    .optional()
    .describe(
      "Each token's advantage is weighted by how likely it is to the learner over how likely it was to the sampler, at most this; absent is off. Costs one more forward pass a step.",
    ),
});
export type LossConfig = z.infer<typeof LossConfig>;

export const KlConfig = z.strictObject({
  kind: z
    .enum(["off", "k1", "k2", "k3"])
    .describe(
      "How the policy is held near the one that the run started with, of which a frozen copy is kept unless an adapter is trained: k1 takes a penalty off each token's reward, k2 and k3 add a term to the loss.",
    ),
  coefficient: z.number().positive().default(1e-4).describe("How strongly; the default is the released one for Llama."),
});
export type KlConfig = z.infer<typeof KlConfig>;

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

/** What the training loop reads of a stage; `stages` of a recipe say more. */
export const StageConfig = z.strictObject({
  name: z
    .string()
    .max(80) // "--full-greedy" and the like are added to it
    .refine(isFileName, fileNameRule)
    .refine(
      (name) => !/^(base|step-\d+)$/i.test(name),
      "expected another name: other evaluations of a run are called so",
    )
    .describe("Names its evaluation; also the checkpoint at its end."),
  steps: z.int().positive().max(10_000_000),
  reward: z
    .union(RewardSpec.options, { error: `expected a list of rules or one of ${Object.keys(rewardPresets).join(", ")}` })
    .describe("A preset, or rules whose values are added."),
  learningRate: z.number().positive().optional().describe("Default: optimizer.learningRate."),
});
export type StageConfig = z.infer<typeof StageConfig>;

/** Everything the training loop reads of a recipe. */
export interface TrainerConfig {
  readonly estimator: EstimatorConfig;
  readonly loss: LossConfig;
  /** Absent is off. */
  readonly kl?: KlConfig | undefined;
  readonly optimizer: OptimizerConfig;
  /** Optimiser steps that one rollout is used for. */
  readonly stepsPerRollout: number;
  /** How many published versions old a trajectory may be. */
  readonly maxLag: number;
  /** Steps between evaluations; 0 evaluates at base and stage ends only. */
  readonly evalEvery: number;
  readonly checkpointEvery: number;
  /** Seconds after which a step is saved too. */
  readonly checkpointSeconds?: number;
  /** Steps in a row whose searches all found nothing before the run stops; 0 or absent is never. */
  readonly stopAfterEmptySteps?: number;
}
