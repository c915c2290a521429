/** @file What a run keeps of an evaluation. */
import type { WorldSplit } from "../../data/world/splits.ts";
import type { EvalSummary as Summary } from "../../eval/evaluate.ts";
import type { Author } from "../../protocol/tape.ts";

/** A measurement with what was measured. */
export interface EvalSummary extends Summary {
  /** "base", "stage-1", "stage-2", or a folder's name. */
  readonly checkpoint: string;
  readonly decode: "greedy" | "sampled";
  /** Of the fictional world, where the measurement chose one. */
  readonly split?: WorldSplit;
}

/** An attempt in words, stretch by stretch. */
export type ShownAttempt = readonly { readonly author: Author; readonly text: string }[];
