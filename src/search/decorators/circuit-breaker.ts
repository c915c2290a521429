import type { QueryResult, Searcher } from "../searcher.ts";

export interface CircuitOptions {
  /** Failed searches in a row that open it. */
  readonly failures?: number;
  /** How long nothing is asked, before one search is let through to see. */
  readonly restMs?: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

/** Leaves a server alone that is away: after so many failures in a row, one search at a time finds out whether it is back. */
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
        // what was under way when it opened says nothing new
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
  error: { message: `search is away: ${because}`, retryable: true },
});
