import pLimit from "p-limit";
import { pause } from "../../base/retry.ts";
import type { Searcher } from "../searcher.ts";

export interface LimitOptions {
  /** Queries a second; as many may come at once. */
  readonly perSecond?: number | undefined;
  /** Searches at once. */
  readonly concurrency?: number | undefined;
  readonly now?: () => number;
  readonly wait?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
}

/** Never asks faster than a provider allows: searches wait for their turn, in order. */
export function limited(inner: Searcher, options: LimitOptions): Searcher {
  const { perSecond, concurrency, now = () => performance.now(), wait = pause } = options;
  const limit = concurrency === undefined ? undefined : pLimit(concurrency);
  let free = Number.NEGATIVE_INFINITY; // when all that was let through so far is paid for, in milliseconds
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
