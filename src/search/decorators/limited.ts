import pLimit from "p-limit";
import { pause } from "../../base/retry.ts";
import type { Searcher } from "../searcher.ts";

export interface LimitOptions {
  /** Queries per second; up to this many may come in a burst. */
  readonly perSecond?: number | undefined;
  /** Simultaneous searches. */
  readonly concurrency?: number | undefined;
  readonly now?: () => number;
  readonly wait?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
}

/** Rate limiting: searches wait for their turn, in order, so that a provider's limits are never exceeded. */
export function limited(inner: Searcher, options: LimitOptions): Searcher {
  const { perSecond, concurrency, now = () => performance.now(), wait = pause } = options;
  const limit = concurrency === undefined ? undefined : pLimit(concurrency);
  let free = Number.NEGATIVE_INFINITY; // the time at which all queries admitted so far are within the rate, in milliseconds
  return {
    ...inner,
    async search(queries, asked) {
      if (perSecond !== undefined) {
        const at = now();
        free = Math.max(free, at - 1000) + (queries.length * 1000) / perSecond;
        if (free > at) await wait(free - at, asked.signal);
      }
      const search = () => inner.search(queries, asked);
      return limit ? limit(search) : search();
    },
  };
}
