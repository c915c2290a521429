/** @file What every searcher in another process has in common. */
import { EngineError, SearchError } from "../../base/errors.ts";
import { HttpError } from "../../base/http/http-error.ts";
import type { Passage } from "../../protocol/passage.ts";
import type { Hit, QueryError, QueryResult, Searcher, SearcherInfo } from "../searcher.ts";
import { searcherWithLife } from "../searcher-life.ts";

export interface RemoteParts {
  readonly info: SearcherInfo;
  /** In the order of the queries. What it throws is the error of each of them. */
  readonly ask: (queries: readonly string[], k: number, signal?: AbortSignal) => Promise<readonly QueryResult[]>;
  readonly close: () => Promise<void>;
}

/** Most passages for one query; servers refuse more. */
const mostPassages = 100;
/** Longest query sent, in UTF-16 units: beyond it a policy babbles, and servers refuse. */
const longestQuery = 8192;

/** @param parts.ask gets queries that any server can read: whole characters, no NUL, at most 8,192 units */
export function remoteSearcher({ info, ask, close }: RemoteParts): Searcher {
  return searcherWithLife({
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

/** Each query with what went wrong for all of them. */
export function failedQueries(queries: readonly string[], cause: unknown): QueryResult[] {
  const error = errorOf(cause);
  return queries.map(() => ({ ok: false, error }));
}

/** What a server, a socket, a disk or a model did; a bug of ours escapes. */
function errorOf(cause: unknown): QueryError {
  if (cause instanceof HttpError) {
    const { message, retryable, retryAfterMs } = cause;
    return { message, retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  }
  if (cause instanceof SearchError || cause instanceof EngineError) return { message: cause.message, retryable: false };
  throw cause;
}

/** Hits in the order given, at most k. A passage without a word is none: a server that gives those has lost its texts. */
export function rankedHits(found: readonly (Passage & { readonly score: number })[], k: number): Hit[] {
  return found
    .filter(({ title, text }) => title.trim() !== "" || text.trim() !== "")
    .slice(0, k)
    .map(({ id, title, text, score }, i) => ({ id, title, text, score, rank: i + 1 }));
}
