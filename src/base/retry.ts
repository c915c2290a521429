/**
 * @file Retries with growing, jittered pauses. It respects the pause that a server asks for, and a budget of retries.
 */
import pRetry from "p-retry";

/** Limits the total number of retries, so that clients do not overload a server after an outage. */
export class RetryBudget {
  readonly #share: number;
  readonly #most: number;
  #left: number;

  /** @param share retries per call · @param reserve retries allowed before there were any calls */
  constructor(share: number, reserve: number) {
    this.#share = share;
    this.#most = reserve;
    this.#left = reserve;
  }

  called(): void {
    this.#left = Math.min(this.#most, this.#left + this.#share);
  }

  take(): boolean {
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

export interface RetryOptions {
  /** Total number of tries. */
  readonly tries: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  readonly isRetryable: (error: unknown) => boolean;
  /** The pause that the server asked for; respected up to `longestPauseMs`. */
  readonly pauseAskedMs?: (error: unknown) => number | undefined;
  readonly budget?: RetryBudget;
  readonly signal?: AbortSignal | undefined;
  readonly onRetry?: () => void;
}

/** @throws what the last try threw */
export function retry<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { tries, firstPauseMs, longestPauseMs, isRetryable, pauseAskedMs, budget, signal, onRetry } = options;
  budget?.called();
  return pRetry(work, {
    retries: tries - 1,
    factor: 2,
    minTimeout: firstPauseMs,
    maxTimeout: longestPauseMs,
    randomize: true,
    shouldRetry: ({ error }) => {
      const again = !signal?.aborted && isRetryable(error) && (budget?.take() ?? true);
      if (again) onRetry?.();
      return again;
    },
    onFailedAttempt: async ({ error, retriesLeft }) => {
      const asked = Math.min(pauseAskedMs?.(error) ?? 0, longestPauseMs);
      if (asked > 0 && retriesLeft > 0 && isRetryable(error)) await pause(asked, signal);
    },
    ...(signal ? { signal } : {}),
  });
}

/** @throws the signal's reason as soon as it is raised */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const stop = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
