import { z } from "zod";

/** How a small policy is made from nothing. Sizes and rates follow a measured study; `recipes/nano-pretrain.yaml` uses them. */
export const PretrainConfig = z.strictObject({
  name: z.string().default("nano").describe("What the policy is called."),
  seed: z.int().default(1).describe("Everything random follows from it."),
  tokens: z.int().positive().default(16_000_000).describe("How many tokens to read in all."),
  batchTokens: z.int().positive().default(4096).describe("Tokens of one optimiser step."),
  firstPhase: z
    .number()
    .min(0)
    .max(1)
    .default(0.15)
    .describe("Share of the tokens spent on short reading tasks before the full mixture."),
  model: z
    .strictObject({
      width: z.int().positive().default(128),
      layers: z.int().positive().default(4),
      heads: z.int().positive().default(4),
      kvHeads: z.int().positive().default(4),
      ffnWidth: z.int().positive().default(384),
      contextLength: z.int().positive().default(512),
      ropeTheta: z.number().positive().default(10_000),
    })
    .prefault({})
    .describe("A plain Llama."),
  tokenizer: z
    .strictObject({
      vocabSize: z.int().positive().default(768),
      documents: z.int().positive().default(6000),
    })
    .prefault({})
    .describe("A byte-level BPE learnt from the first documents."),
  optimizer: z
    .strictObject({
      learningRate: z.number().positive().default(0.02).describe("Of Muon, for matrices."),
      adamLearningRate: z.number().positive().default(0.003).describe("Of AdamW, for the embedding and gains."),
      beta1: z.number().default(0.9),
      beta2: z.number().default(0.95),
      epsilon: z.number().default(1e-8),
      weightDecay: z.number().default(0),
      maxGradNorm: z.number().default(1),
      warmupSteps: z.int().nonnegative().default(50),
      decayShare: z
        .number()
        .min(0)
        .max(1)
        .default(0.4)
        .describe("Share of the steps at the end over which the rates fall linearly."),
      finalShare: z.number().min(0).max(1).default(0.02).describe("What is left of the rates at the last step."),
    })
    .prefault({}),
  probeEvery: z.int().positive().default(250).describe("Steps between looks at held-out reading skill."),
  saveEvery: z.int().positive().default(500).describe("Steps between checkpoints."),
  engine: z
    .strictObject({ workers: z.int().positive().default(2), threads: z.int().positive().default(1) })
    .prefault({}),
});
export type PretrainConfig = z.infer<typeof PretrainConfig>;

/** Share of the full learning rate at a step: linear warm-up, constant, linear decay. */
export function rateAt(
  step: number,
  steps: number,
  { warmupSteps, decayShare, finalShare }: PretrainConfig["optimizer"],
): number {
  const decaySteps = Math.max(1, Math.round(steps * decayShare));
  const left = Math.min(1, (steps - step) / decaySteps);
  return Math.min(1, (step + 1) / Math.max(1, warmupSteps)) * (finalShare + (1 - finalShare) * left);
}
