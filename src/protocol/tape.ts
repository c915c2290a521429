/**
 * @file The only record of who wrote what. Loss mask, stops, rewards, metrics and the studio read authors from
 * here; nothing ever finds documents by scanning text.
 */
export type Author = "prompt" | "policy" | "search";

export interface Run {
  readonly author: Author;
  readonly length: number;
}

/** Tokens [T] and their authors as runs; Σ length = T, neighbouring runs may have the same author (two calls). */
export interface Tape {
  readonly tokens: Int32Array;
  readonly runs: readonly Run[];
}
