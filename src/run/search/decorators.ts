/** @file What stands around a source of passages, as one ordered list: limits, tries, a reranker, recordings, a meter. */
import { RetryBudget } from "../../base/retry.ts";
import { budgeted } from "../../search/decorators/budgeted.ts";
import { circuitBroken } from "../../search/decorators/circuit-breaker.ts";
import { limited } from "../../search/decorators/limited.ts";
import { metered } from "../../search/decorators/metered.ts";
import { recorded } from "../../search/decorators/recorded.ts";
import { retrying } from "../../search/decorators/retrying.ts";
import { rerankedSearcher } from "../../search/rerank/reranked.ts";
import type { Reranker } from "../../search/rerank/reranker.ts";
import type { Searcher } from "../../search/searcher.ts";
import type { SearchConfig } from "../recipe/search-settings.ts";

/** What decides which decorators a source gets. */
export interface DecoratorContext {
  readonly search: SearchConfig;
  /** Whether the source is asked over the network, so that it can be away. */
  readonly isRemote: boolean;
  readonly reranker?: Reranker | undefined;
}

/** A searcher, with what some decorators can tell besides. */
interface DecoratedSearcher extends Searcher {
  /** Of "budgeted": why a query was refused; undefined while none was. */
  refused?(): string | undefined;
  /** Of "metered": counts and milliseconds since it was last asked. */
  take?(): Record<string, number>;
}

interface SearchDecorator {
  readonly name: string;
  applies(context: DecoratorContext): boolean;
  wrap(inner: Searcher, context: DecoratorContext): DecoratedSearcher;
}

/** Of all queries, this share may be tried again in the long run. In an outage the circuit breaker stops asking sooner. */
const retryShare = 0.5;
/** Tries that are allowed before there were any queries. */
const retryReserve = 50;

/** From the source outwards: each decorator wraps all that stand before it. A query passes them from the last to the first. */
export const searchDecorators = [
  {
    name: "circuit-broken", // stops asking a source that failed many times in a row
    applies: ({ isRemote }) => isRemote,
    wrap: (inner) => circuitBroken(inner),
  },
  {
    name: "limited", // queries a second, and at once
    applies: ({ search }) => search.perSecond !== undefined || search.concurrency !== undefined,
    wrap: (inner, { search: { perSecond, concurrency } }) => limited(inner, { perSecond, concurrency }),
  },
  {
    name: "budgeted", // below "retrying": a query that is tried again is paid again
    applies: ({ search }) => search.budget !== undefined,
    wrap: (inner, { search }) => budgeted(inner, search.budget!),
  },
  {
    name: "retrying",
    applies: ({ isRemote }) => isRemote,
    wrap: (inner, { search }) =>
      retrying(inner, { tries: search.attempts, budget: new RetryBudget(retryShare, retryReserve) }),
  },
  {
    name: "reranked",
    applies: ({ reranker }) => reranker !== undefined,
    wrap: (inner, { search, reranker }) => rerankedSearcher(inner, reranker!, search.rerankDepth),
  },
  {
    name: "recorded", // above "reranked": a file keeps what the policy was shown
    applies: ({ search }) => search.record !== undefined || search.cache !== undefined,
    wrap: (inner, { search: { record, cache } }) =>
      record === undefined ? recorded(inner, cache!, "answers") : recorded(inner, record, "everything"),
  },
  {
    name: "metered", // outermost: what the policy waits for, all of the above included
    applies: () => true,
    wrap: (inner) => metered(inner),
  },
] as const satisfies readonly SearchDecorator[];

export type DecoratorName = (typeof searchDecorators)[number]["name"];

export interface DecoratedSource {
  readonly searcher: Searcher;
  /** The names of those that apply, from the source outwards. */
  readonly names: readonly DecoratorName[];
  /** The source with the decorators up to this one, as far as they apply. */
  upTo(name: DecoratorName): Searcher;
  readonly timing: () => Record<string, number>;
  readonly refused: () => string | undefined;
}

/** Wraps a source in every decorator that applies. */
export function decorated(source: Searcher, context: DecoratorContext): DecoratedSource {
  const layers = new Map<DecoratorName, DecoratedSearcher>();
  const names: DecoratorName[] = [];
  let searcher: DecoratedSearcher = source;
  for (const { name, applies, wrap } of searchDecorators) {
    if (applies(context)) {
      searcher = wrap(searcher, context);
      names.push(name);
    }
    layers.set(name, searcher);
  }
  return {
    searcher,
    names,
    upTo: (name) => layers.get(name)!,
    timing: () => layers.get("metered")?.take?.() ?? {},
    refused: () => layers.get("budgeted")?.refused?.(),
  };
}
