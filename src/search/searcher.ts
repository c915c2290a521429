import type { Passage } from "../protocol/passage.ts";

export interface Hit extends Passage {
  readonly score: number;
  /** From 1. */
  readonly rank: number;
}

/** One failing query never fails the batch. No hits is a success. */
export type QueryResult =
  | { readonly ok: true; readonly hits: readonly Hit[] }
  | { readonly ok: false; readonly error: { readonly message: string; readonly retryable: boolean } };

export interface SearcherInfo {
  readonly kind: string;
  readonly passages: number;
  /** Equal hashes mean equal answers. */
  readonly hash: string;
  readonly settings: Readonly<Record<string, string | number>>;
}

/** Same length and order as the queries; ties by ascending corpus position. `close` may be called twice. */
export interface Searcher {
  info(): SearcherInfo;
  search(
    queries: readonly string[],
    options: { readonly k: number; readonly signal?: AbortSignal },
  ): Promise<readonly QueryResult[]>;
  close(): Promise<void>;
}
