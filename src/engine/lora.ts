/**
 * @file LoRA (Hu et al., 2021): an adapted matrix W [out, in] acts as W + alpha / rank · B · A with A [rank, in] and
 * B [out, rank], and only A and B learn. One A and one B for each adapted matrix are an adapter.
 */
/* Worker threads load this file, so the schema, which needs zod, is in `lora-config.ts`. */

/** Matrices of a layer that can be adapted, as PEFT calls them. */
export const loraTargets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
export type LoraTarget = (typeof loraTargets)[number];

export interface LoraSettings {
  /** Rows of A and columns of B. */
  readonly rank: number;
  readonly alpha: number;
  /** Which matrices of every layer are adapted. */
  readonly targets: readonly LoraTarget[];
  /** Keep a copy of the adapted matrices with B · A added, instead of computing with A and B separately. */
  readonly merge: boolean;
}

/** What decides the numbers of an adapted model, besides those of the adapter. */
export type LoraShape = Omit<LoraSettings, "merge">;

export function loraScale({ alpha, rank }: LoraShape): number {
  return alpha / rank;
}

export interface LoraPlace extends LoraSettings {
  /** The first numbers of a fresh adapter follow from it. */
  readonly seed: number;
}
