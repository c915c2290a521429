import { createHash } from "node:crypto";
import { toJson } from "../../base/jsonl.ts";
import { searchable } from "../bm25/rank.ts";
import { failedQueries } from "../remote/remote-searcher.ts";
import type { Hit, QueryResult, Searcher, SearcherInfo } from "../searcher.ts";
import { searcherOf } from "../searcher-life.ts";
import { bestFirst, type Reranker } from "./reranker.ts";

/** Default number of passages per query that are reranked. */
export const defaultDepth = 10;

/**
 * Reranks the results of a search: `depth` passages of each query are scored again, or k if that is more. Closing it
 * closes both.
 */
export function rerankedSearcher(inner: Searcher, reranker: Reranker, depth = defaultDepth): Searcher {
  return searcherOf({
    info: rerankedInfo(inner.info(), reranker, depth),
    async search(queries, { k, signal }) {
      const found = await inner.search(queries, { k: Math.max(k, depth), ...(signal ? { signal } : {}) });
      const results: QueryResult[] = [];
      for (const [i, result] of found.entries())
        results.push(await rerank(reranker, queries[i]!, result, { k, signal }));
      return results;
    },
    async close(idle) {
      const closing = inner.close(); // ends what is waiting for it
      await idle;
      await closing;
      await reranker.close();
    },
  });
}

/** A result with its best k hits in the reranker's order and with its scores; a failure is passed on. */
export async function rerank(
  reranker: Reranker,
  query: string,
  result: QueryResult,
  { k, signal }: { readonly k: number; readonly signal: AbortSignal | undefined },
): Promise<QueryResult> {
  if (!result.ok) return result;
  try {
    const scores = await reranker.score(query, result.hits.map(searchable), signal);
    const hits = bestFirst(scores)
      .slice(0, k)
      .map((at, i): Hit => ({ ...result.hits[at]!, score: scores[at]!, rank: i + 1 }));
    return { ok: true, hits };
  } catch (cause) {
    signal?.throwIfAborted();
    return failedQueries([query], cause)[0]!;
  }
}

export function rerankedInfo(inner: SearcherInfo, { identity }: Reranker, depth: number): SearcherInfo {
  const digest = createHash("sha256").update(toJson(["reranked", inner.hash, identity.fingerprint, depth]));
  const settings = { ...inner.settings, reranker: identity.fingerprint.slice(0, 16), rerankDepth: depth };
  return { ...inner, hash: digest.digest("hex"), settings };
}
