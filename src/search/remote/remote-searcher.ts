/** @file Shared by every searcher that runs in another process. */
import { EngineError, SearchError } from "../../base/errors.ts";
import { HttpError } from "../../base/http/http-error.ts";
import type { Passage } from "../../protocol/passage.ts";
import type { Hit, QueryError, QueryResult, Searcher, SearcherInfo } from "../searcher.ts";
import { searcherOf } from "../searcher-life.ts";

export interface RemoteParts {
  readonly info: SearcherInfo;
  /** Results in the order of the queries. If it throws, each of them gets that error. */
  readonly ask: (queries: readonly string[], k: number, signal?: AbortSignal) => Promise<readonly QueryResult[]>;
  readonly close: () => Promise<void>;
}

/** Maximum number of passages per query; servers refuse more. */
const mostPassages = 100;
/**
 * Maximum length of a query in UTF-16 units. Longer queries are degenerate output of the policy, and servers refuse
 * them.
 */
const longestQuery = 8192;

/** @param parts.ask gets queries that any server can read: well-formed Unicode, no NUL, at most 8,192 units */
export function remoteSearcher({ info, ask, close }: RemoteParts): Searcher {
  return searcherOf({
    info,
    prepare: sendable,
    async search(queries, { k, signal }) {
      try {
        const results = await ask(queries, Math.min(k, mostPassages), signal);
        if (results.length === queries.length) return results;
        throw new HttpError(`${queries.length} queries got ${results.length} results`, { retryable: true });
      } catch (cause) {
        signal?.throwIfAborted();
        return failedQueries(queries, cause);
      }
    },
    close, // at once: it ends what is under way, which may wait for long
  });
}

function sendable(query: string): string {
  return query
    .slice(0, longestQuery)
    .toWellFormed()
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
}

/** A failure for each query, with the same error. */
export function failedQueries(queries: readonly string[], cause: unknown): QueryResult[] {
  const error = errorOf(cause);
  return queries.map(() => ({ ok: false, error }));
}

/** Wraps failures of a server, a socket, a disk or a model; a bug is thrown on. */
function errorOf(cause: unknown): QueryError {
  if (cause instanceof HttpError) {
    const { message, retryable, retryAfterMs } = cause;
    return { message, retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  }
  if (cause instanceof SearchError || cause instanceof EngineError) return { message: cause.message, retryable: false };
  throw cause;
}

/**
 * Hits in the given order, at most k. A passage without words is refused: a server that returns those has lost its
 * texts.
 */
export function rankedHits(found: readonly (Passage & { readonly score: number })[], k: number): Hit[] {
  return found
    .filter(({ title, text }) => title.trim() !== "" || text.trim() !== "")
    .slice(0, k)
    .map(({ id, title, text, score }, i) => ({ id, title, text, score, rank: i + 1 }));
}
