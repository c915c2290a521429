/** Reads a query and a passage together and says how well they fit: slow and good, for the best of a search. */
export interface Reranker {
  readonly identity: {
    /** Where it lies. */
    readonly source: string;
    /** A hash of all that its scores depend on. */
    readonly fingerprint: string;
  };
  /** In the order of the passages, higher is better. A pair does not feel its neighbours. */
  score(query: string, passages: readonly string[], signal?: AbortSignal): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** Positions of the best scores, ties in the order given. */
export function bestFirst(scores: readonly number[]): number[] {
  return scores.map((_, at) => at).sort((a, b) => scores[b]! - scores[a]! || a - b);
}
