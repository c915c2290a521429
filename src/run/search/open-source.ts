/** @file Opens a searcher with its decorators: retries, circuit breaker, cache, rate limit, metrics. */
import { ConfigError } from "../../base/errors.ts";
import { RetryBudget } from "../../base/retry.ts";
import { budgeted } from "../../search/decorators/budgeted.ts";
import { circuitBroken } from "../../search/decorators/circuit-breaker.ts";
import { limited } from "../../search/decorators/limited.ts";
import { metered } from "../../search/decorators/metered.ts";
import { recorded, replayed } from "../../search/decorators/recorded.ts";
import { retrying } from "../../search/decorators/retrying.ts";
import { rerankedSearcher } from "../../search/rerank/reranked.ts";
import type { Reranker } from "../../search/rerank/reranker.ts";
import type { QueryResult, Searcher } from "../../search/searcher.ts";
import { SearchConfig, searchComplaint } from "../recipe/search-settings.ts";

export interface OpenSearch {
  readonly searcher: Searcher;
  /** Sends one test query without cache or recording; absent if search runs in this process. */
  readonly probe?: (signal: AbortSignal) => Promise<QueryResult>;
  /** Counts and milliseconds since the last call. */
  readonly timing: () => Record<string, number>;
  /** Why queries were refused permanently; undefined if none was. */
  readonly refused: () => string | undefined;
}

/** Retries per query on average. In an outage the circuit breaker stops them sooner. */
const retryShare = 0.5;
const retryReserve = 50;

/** Loaded only if reranking is used. */
export async function rerankerAt(directory: string): Promise<Reranker> {
  const { openReranker } = await import("./open-reranker.ts");
  return openReranker(directory);
}

/**
 * @param openLocal opens the source if it is not a server
 * @throws ConfigError on inconsistent keys, SearchError if a server does not answer
 */
export async function openSearchSource(
  given: Partial<SearchConfig>,
  openLocal: (search: SearchConfig) => Promise<Searcher>,
): Promise<OpenSearch> {
  const search = { ...SearchConfig.parse({}), ...given };
  const complaint = searchComplaint(search);
  if (complaint !== undefined) throw new ConfigError(complaint, { hint: "correct the recipe or the options" });
  if (search.replay !== undefined) return wrap(replayed(search.replay), { search });
  const reranker = search.rerank === undefined ? undefined : await rerankerAt(search.rerank);
  try {
    return await openSource(search, openLocal, reranker);
  } catch (cause) {
    await reranker?.close();
    throw cause;
  }
}

async function openSource(
  search: SearchConfig,
  openLocal: (search: SearchConfig) => Promise<Searcher>,
  reranker: Reranker | undefined,
): Promise<OpenSearch> {
  const withRetries = (inner: Searcher) =>
    retrying(inner, { tries: search.attempts, budget: new RetryBudget(retryShare, retryReserve) });
  if (search.source === "web") {
    const { openWeb } = await import("./open-web.ts");
    const remote = openWeb(search);
    const opened = wrap(circuitBroken(remote), { search, reranker, withRetries });
    return { ...opened, timing: () => ({ ...opened.timing(), ...remote.take() }), probe: probeOf(opened.asking) };
  }
  if (search.source !== "http") return wrap(await openLocal(search), { search, reranker });
  const { openUrl } = await import("./open-url.ts");
  const near = circuitBroken(await openUrl(search.url!, search.timeoutMs));
  return { ...wrap(near, { search, reranker, withRetries }), probe: probeOf(near) };
}

/** Asks a question that costs little. A provider is asked within its rate and budget, a server of one's own past them. */
const probeOf = (searcher: Searcher) => async (signal: AbortSignal) =>
  (await searcher.search(["probe"], { k: 1, signal }))[0]!;

interface SearchStack {
  readonly search: SearchConfig;
  readonly reranker?: Reranker | undefined;
  readonly withRetries?: (inner: Searcher) => Searcher;
}

function wrap(
  inner: Searcher,
  { search, reranker, withRetries = (one) => one }: SearchStack,
): OpenSearch & { readonly asking: Searcher } {
  const { perSecond, concurrency, budget, cache, record } = search;
  const isLimited = perSecond !== undefined || concurrency !== undefined;
  const slow = isLimited ? limited(inner, { perSecond, concurrency }) : inner;
  const bounded = budget ? budgeted(slow, budget) : undefined;
  const once = bounded ?? slow;
  const found = withRetries(once);
  const asking = reranker ? rerankedSearcher(found, reranker, search.rerankDepth) : found;
  const cached = record ? recorded(asking, record, "everything") : cache ? recorded(asking, cache, "answers") : asking;
  const searcher = metered(cached);
  return { searcher, timing: searcher.take, refused: () => bounded?.refused(), asking: once };
}
