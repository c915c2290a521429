import type { Passage } from "../protocol/passage.ts";

export interface Hit extends Passage {
  readonly score: number;
  /** From 1. */
  readonly rank: number;
}

/** One failing query never fails the batch. A result without hits is a success. */
export type QueryResult =
  | { readonly ok: true; readonly hits: readonly Hit[] }
  | { readonly ok: false; readonly error: QueryError };

export interface QueryError {
  readonly message: string;
  /** Whether a retry may succeed. */
  readonly retryable: boolean;
  /** How long the server asked clients to wait. */
  readonly retryAfterMs?: number;
}

export interface SearcherInfo {
  readonly kind: string;
  /** Undefined if the server does not tell. */
  readonly passages: number | undefined;
  /** Equal hashes guarantee equal answers. */
  readonly hash: string;
  readonly settings: Readonly<Record<string, string | number>>;
}

/**
 * Results have the length and order of the queries; ties are ordered by corpus position. `close` may be called twice.
 */
export interface Searcher {
  info(): SearcherInfo;
  search(
    queries: readonly string[],
    options: { readonly k: number; readonly signal?: AbortSignal },
  ): Promise<readonly QueryResult[]>;
  close(): Promise<void>;
}
