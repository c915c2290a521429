/** @file The settings of an adapter as recipes and PEFT folders give them. */
import { z } from "zod";
import { loraTargets } from "./lora.ts";

export const LoraConfig = z.strictObject({
  rank: z.int().min(1).max(4096).default(16).describe("Rows of A and columns of B: how much an adapter can express."),
  alpha: z.number().positive().default(32).describe("B · A counts alpha / rank times."),
  targets: z
    .array(z.enum(loraTargets))
    .min(1)
    .refine((targets) => new Set(targets).size === targets.length, "expected distinct names")
    .default([...loraTargets])
    .describe("Which matrices of every layer are adapted."),
  merge: z
    .boolean()
    .default(true)
    .describe(
      "true keeps a copy of the adapted matrices with B · A added, updated after each step; false computes with A and B separately, which is slower and saves that copy.",
    ),
});
export type LoraConfig = z.infer<typeof LoraConfig>;
