/**
 * @file Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): passages that several searchers rank near the top
 * come first.
 */
import { createHash } from "node:crypto";
import { toJson } from "../../base/jsonl.ts";
import type { Hit, QueryResult, Searcher, SearcherInfo } from "../searcher.ts";
import { searcherOf } from "../searcher-life.ts";

export interface FusionOptions {
  /**
   * The larger the constant, the less the first ranks stand out. Default 1: docs/decisions/2026-11-26-fusion-of-two.md.
   */
  readonly constant?: number;
  /** Number of hits taken from each searcher, or k if that is more. */
  readonly depth?: number;
}

/**
 * Combines several searchers over the same corpus. A passage gets 1 / (constant + rank) from each that finds it. Equal
 * scores share a rank, so that fusion does not break ties of a searcher. A query fails if one of the searchers fails
 * it.
 */
export function fusedSearcher(
  searchers: readonly Searcher[],
  { constant = 1, depth = 100 }: FusionOptions = {},
): Searcher {
  return searcherOf({
    info: infoOf(searchers, { constant, depth }),
    async search(queries, { k, signal }) {
      const asked = { k: Math.max(k, depth), ...(signal ? { signal } : {}) };
      const lists = await Promise.all(searchers.map((searcher) => searcher.search(queries, asked)));
      return queries.map((_, i) => {
        const results = lists.map((list) => list[i]!);
        const failed = results.find(({ ok }) => !ok);
        return failed ?? { ok: true, hits: fused(results.map(hitsOf), constant, k) };
      });
    },
    async close() {
      await Promise.all(searchers.map((searcher) => searcher.close()));
    },
  });
}

const hitsOf = (result: QueryResult) => (result.ok ? result.hits : []);

function fused(lists: readonly (readonly Hit[])[], constant: number, k: number): Hit[] {
  const found = new Map<string, { hit: Hit; score: number }>();
  for (const hits of lists) {
    let rank = 0;
    hits.forEach((hit, i) => {
      if (i === 0 || hit.score !== hits[i - 1]!.score) rank = i + 1;
      const known = found.get(hit.id) ?? { hit, score: 0 };
      found.set(hit.id, { hit: known.hit, score: known.score + 1 / (constant + rank) });
    });
  }
  return [...found.values()]
    .sort((a, b) => b.score - a.score) // stable sort: ties stay in the order of the first searcher
    .slice(0, k)
    .map(({ hit, score }, i) => ({ ...hit, score, rank: i + 1 }));
}

function infoOf(searchers: readonly Searcher[], settings: Record<string, number>): SearcherInfo {
  const infos = searchers.map((searcher) => searcher.info());
  const digest = createHash("sha256").update(toJson(["hybrid", settings, infos.map(({ hash }) => hash)]));
  const of = infos.map(({ kind }) => kind).join("+");
  return { kind: "hybrid", passages: infos[0]?.passages, hash: digest.digest("hex"), settings: { of, ...settings } };
}
