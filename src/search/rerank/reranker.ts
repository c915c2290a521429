/** Scores a query and a passage together: slow and accurate, so it is used for the best hits of a search. */
export interface Reranker {
  readonly identity: {
    /** Folder or address of the model. */
    readonly source: string;
    /** A hash of everything that its scores depend on. */
    readonly fingerprint: string;
  };
  /** In the order of the passages; higher is better. The score of a pair does not depend on the others in the call. */
  score(query: string, passages: readonly string[], signal?: AbortSignal): Promise<readonly number[]>;
  close(): Promise<void>;
}

/** Indices sorted by score, best first; ties keep their order. */
export function bestFirst(scores: readonly number[]): number[] {
  return scores.map((_, at) => at).sort((a, b) => scores[b]! - scores[a]! || a - b);
}
