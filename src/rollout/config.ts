import { z } from "zod";

export const RolloutConfig = z.strictObject({
  maxSearches: z.int().min(0).max(10_000).default(3).describe("Queries served in one attempt; one more ends it."),
  maxTokens: z.int().min(1).max(1_048_576).default(288).describe("Tokens the policy may write in one attempt."),
  maxTokensPerTurn: z
    .int()
    .min(1)
    .max(1_048_576)
    .default(512)
    .describe("Tokens the policy may write between two searches."),
  contextLength: z
    .int()
    .min(0)
    .max(1_048_576)
    .default(0)
    .describe("The longest tape in tokens; 0 is as long as the policy can hold."),
  k: z.int().min(1).max(100).default(2).describe("Passages asked of each search."),
  temperature: z.number().min(0).default(1).describe("0 always takes the likeliest token."),
  topP: z.number().gt(0).max(1).default(1).describe("Sample among the likeliest tokens of this total probability."),
  topK: z.int().min(0).default(0).describe("Sample among so many likeliest tokens; 0 is off."),
  titles: z.boolean().default(true).describe("Show the title of each passage."),
  maxPassageWords: z.int().min(0).default(0).describe("Words shown of each passage; 0 shows all."),
});
export type RolloutConfig = z.infer<typeof RolloutConfig>;
