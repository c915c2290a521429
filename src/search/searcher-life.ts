import { SearchError } from "../base/errors.ts";
import { checkK } from "./bm25/score.ts";
import type { QueryResult, Searcher, SearcherInfo } from "./searcher.ts";

export interface SearcherParts {
  readonly info: SearcherInfo;
  /** Results in the order of the queries. There is at least one query, and each contains a word. */
  readonly search: (
    queries: readonly string[],
    options: { readonly k: number; readonly signal?: AbortSignal },
  ) => Promise<readonly QueryResult[]>;
  /** Runs once. @param idle resolves when no search is running; no new search starts after that */
  readonly close: (idle: Promise<void>) => Promise<void>;
  /** Reduces a query to what is searched for; by default it is trimmed. */
  readonly prepare?: (query: string) => string;
}

/**
 * What every searcher does around its search: refuses an invalid k and any call after `close`, and returns no hits for
 * a query without words.
 */
export function searcherOf({ info, search, close, prepare = (query) => query.trim() }: SearcherParts): Searcher {
  const underWay = new Set<Promise<unknown>>();
  let closed: Promise<void> | undefined;
  return {
    info: () => info,
    async search(queries, options) {
      if (closed) throw new SearchError("the searcher is closed");
      checkK(options.k);
      options.signal?.throwIfAborted();
      const asked = queries.map(prepare);
      const worded = asked.filter((query) => query !== "");
      if (worded.length === 0) return queries.map(() => ({ ok: true, hits: [] }));
      const searching = search(worded, options);
      underWay.add(searching);
      try {
        const answers = await searching;
        let next = 0;
        return asked.map((query): QueryResult => (query === "" ? { ok: true, hits: [] } : answers[next++]!));
      } finally {
        underWay.delete(searching);
      }
    },
    close: () => (closed ??= close(Promise.allSettled(underWay).then(() => {}))),
  };
}
