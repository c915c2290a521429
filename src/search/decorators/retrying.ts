import { type RetryBudget, retry } from "../../base/retry.ts";
import type { QueryError, QueryResult, Searcher } from "../searcher.ts";

export interface RetryingOptions {
  /** Total number of tries of one query. */
  readonly tries: number;
  readonly firstPauseMs?: number;
  readonly longestPauseMs?: number;
  readonly budget?: RetryBudget;
  readonly onRetry?: () => void;
}

/** Retries failed queries if the failure may be temporary. */
export function retrying(inner: Searcher, options: RetryingOptions): Searcher {
  const { tries, firstPauseMs = 200, longestPauseMs = 5_000, budget, onRetry } = options;
  return {
    ...inner,
    async search(queries, { k, signal }) {
      const results: QueryResult[] = [];
      let open = queries.map((_, at) => at);
      const ask = async () => {
        const asked = open.map((at) => queries[at]!);
        const answers = await inner.search(asked, { k, ...(signal ? { signal } : {}) });
        open.forEach((at, i) => {
          results[at] = answers[i]!;
        });
        const errors = open.flatMap((at) => retryableError(results[at]!) ?? []);
        open = open.filter((at) => retryableError(results[at]!) !== undefined);
        if (errors.length > 0) throw new Unanswered(errors);
      };
      try {
        await retry(ask, {
          tries: tries,
          firstPauseMs,
          longestPauseMs,
          isRetryable: (error) => error instanceof Unanswered,
          pauseAskedMs: (error) => (error instanceof Unanswered ? error.pauseAskedMs : undefined),
          ...(budget ? { budget } : {}),
          ...(onRetry ? { onRetry } : {}),
          signal,
        });
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof Unanswered)) throw error;
      }
      return results;
    },
  };
}

/** Some queries still have no answer. */
class Unanswered extends Error {
  readonly pauseAskedMs: number;

  constructor(errors: readonly QueryError[]) {
    super(errors[0]!.message);
    this.pauseAskedMs = Math.max(...errors.map(({ retryAfterMs = 0 }) => retryAfterMs));
  }
}

function retryableError(result: QueryResult): QueryError | undefined {
  return !result.ok && result.error.retryable ? result.error : undefined;
}
