/** @file Reranking for the requests of a server, one request at a time and with a bounded queue. */

import { rerank } from "../search/rerank/reranked.ts";
import type { Reranker } from "../search/rerank/reranker.ts";
import type { QueryResult } from "../search/searcher.ts";
import { OverloadedError } from "./batcher.ts";

export interface RerankService {
  /** The best k of each result. @throws OverloadedError if too many pairs are waiting */
  rerank(
    queries: readonly string[],
    results: readonly QueryResult[],
    options: { readonly k: number; readonly signal: AbortSignal },
  ): Promise<QueryResult[]>;
}

export interface RerankServiceOptions {
  /**
   * Length of the queue in pairs of query and passage. A request is never rejected for its size alone: an idle server
   * accepts any.
   */
  readonly maxWaiting: number;
  readonly onPairs: (pairs: number) => void;
}

export function rerankService(reranker: Reranker, { maxWaiting, onPairs }: RerankServiceOptions): RerankService {
  let waiting = 0;
  return {
    async rerank(queries, results, options) {
      const pairs = results.reduce((sum, result) => sum + (result.ok ? result.hits.length : 0), 0);
      if (waiting > 0 && waiting + pairs > maxWaiting)
        throw new OverloadedError(`${waiting} passages are waiting already`);
      waiting += pairs;
      onPairs(pairs);
      try {
        const reranked: QueryResult[] = [];
        for (const [i, result] of results.entries())
          reranked.push(await rerank(reranker, queries[i]!, result, options));
        return reranked;
      } finally {
        waiting -= pairs;
      }
    },
  };
}
