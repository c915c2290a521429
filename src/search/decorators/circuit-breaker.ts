import type { QueryResult, Searcher } from "../searcher.ts";

export interface CircuitOptions {
  /** Number of consecutive failures that open the circuit. */
  readonly failures?: number;
  /** How long no query is sent, before a single search is let through as a probe. */
  readonly restMs?: number;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/**
 * Stops sending queries to a server that is unavailable: after so many consecutive failures, one search at a time
 * probes whether it is back.
 */
export function circuitBroken(inner: Searcher, options: CircuitOptions = {}): Searcher {
  const { failures = 10, restMs = 1_000, now = () => performance.now() } = options;
  let inARow = 0;
  let openSince: number | undefined;
  let probing = false;
  let because = "";
  const isClosed = () => openSince === undefined;
  const note = (results: readonly QueryResult[]) => {
    const error = results.find((result) => !result.ok && result.error.retryable);
    const failed = error !== undefined && results.every(({ ok }) => !ok);
    if (!failed) {
      inARow = 0;
      openSince = undefined;
      return;
    }
    if (!error.ok) because = error.error.message;
    inARow++;
    if (inARow >= failures || openSince !== undefined) openSince = now();
  };
  return {
    ...inner,
    async search(queries, asked) {
      const isProbe = !isClosed() && !probing && now() - openSince! >= restMs;
      if (!isClosed() && !isProbe) return queries.map(() => refusal(because));
      if (isProbe) probing = true;
      try {
        const results = await inner.search(queries, asked);
        // a search that was running when the circuit opened carries no new information
        if (queries.length > 0 && (isProbe || isClosed())) note(results);
        return results;
      } finally {
        if (isProbe) probing = false;
      }
    },
  };
}

const refusal = (because: string): QueryResult => ({
  ok: false,
  error: { message: `the search server is unavailable: ${because}`, retryable: true },
});
