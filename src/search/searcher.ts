import type { Passage } from "../protocol/passage.ts";

export interface Hit extends Passage {
  readonly score: number;
  /** From 1. */
  readonly rank: number;
}

/** One failing query never fails the batch. No hits is a success. */
export type QueryResult =
  | { readonly ok: true; readonly hits: readonly Hit[] }
  | { readonly ok: false; readonly error: QueryError };

export interface QueryError {
  readonly message: string;
  /** Another try may go better. */
  readonly retryable: boolean;
  /** How long the other side asked to be left alone. */
  readonly retryAfterMs?: number;
}

export interface SearcherInfo {
  readonly kind: string;
  /** Undefined where the other side does not tell. */
  readonly passages: number | undefined;
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
