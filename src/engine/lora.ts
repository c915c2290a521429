/**
 * @file LoRA (Hu et al., 2021): an adapted matrix W [out, in] acts as W + alpha / rank · B · A with A [rank, in] and
 * B [out, rank], and only A and B learn. One A and one B for each adapted matrix are an adapter.
 */
import { z } from "zod";

/** Matrices of a layer that can be adapted, as PEFT calls them. */
export const loraTargets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
export type LoraTarget = (typeof loraTargets)[number];

export const LoraConfig = z.strictObject({
  rank: z.int().min(1).max(4096).default(16).describe("Rows of A and columns of B: how much an adapter can express."),
  alpha: z.number().positive().default(32).describe("B · A counts alpha / rank times."),
  targets: z
    .array(z.enum(loraTargets))
    .min(1)
    .refine((targets) => new Set(targets).size === targets.length, "expected names that differ")
    .default([...loraTargets])
    .describe("Which matrices of every layer are adapted."),
  merge: z
    .boolean()
    .default(true)
    .describe(
      "true keeps a copy of the adapted matrices with B · A added, made anew after each update; false computes with A and B apart, which is slower and saves that copy.",
    ),
});
export type LoraConfig = z.infer<typeof LoraConfig>;

/** What decides the numbers of an adapted model, besides those of the adapter. */
export type LoraShape = Omit<LoraConfig, "merge">;

export function loraScale({ alpha, rank }: LoraShape): number {
  return alpha / rank;
}

export interface LoraPlace extends LoraConfig {
  /** The first numbers of a fresh adapter follow from it. */
  readonly seed: number;
}
