import type { Searcher } from "../searcher.ts";

export interface Metered extends Searcher {
  /** Counts and milliseconds since the last call; undefined if nothing was searched. */
  take(): Record<string, number>;
}

/** Measures the policy's searches, including waiting and retries. */
export function metered(inner: Searcher, now: () => number = () => performance.now()): Metered {
  let milliseconds: number[] = [];
  let [queries, failed, empty] = [0, 0, 0];
  return {
    ...inner,
    async search(asked, options) {
      const began = now();
      const results = await inner.search(asked, options);
      milliseconds.push(now() - began);
      queries += results.length;
      for (const result of results) {
        if (!result.ok) failed++;
        else if (result.hits.length === 0) empty++;
      }
      return results;
    },
    take() {
      if (queries === 0) return {};
      const sorted = milliseconds.sort((a, b) => a - b);
      const percentile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
      const taken = {
        search_queries: queries,
        search_failed: failed,
        search_empty: empty,
        search_p50_ms: percentile(0.5),
        search_p95_ms: percentile(0.95),
        search_p99_ms: percentile(0.99),
      };
      milliseconds = [];
      [queries, failed, empty] = [0, 0, 0];
      return taken;
    },
  };
}
