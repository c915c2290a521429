import { SearchError } from "../base/errors.ts";
import { checkK } from "./bm25/score.ts";
import type { QueryResult, Searcher, SearcherInfo } from "./searcher.ts";

export interface LifeParts {
  readonly info: SearcherInfo;
  /** In the order of the queries, of which there is one at least and each has words. */
  readonly search: (
    queries: readonly string[],
    options: { readonly k: number; readonly signal?: AbortSignal },
  ) => Promise<readonly QueryResult[]>;
  /** Runs once. @param idle settles as soon as no search is under way; none begins any more */
  readonly close: (idle: Promise<void>) => Promise<void>;
  /** What of a query is searched for; default all but the space around it. */
  readonly prepare?: (query: string) => string;
}

/** What every searcher does around its search: refuses a wrong k and what comes after its end, finds nothing for no words. */
export function searcherWithLife({ info, search, close, prepare = (query) => query.trim() }: LifeParts): Searcher {
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
