/** @file Opens the source that the settings name and wraps it in its decorators. */
import { ConfigError } from "../../base/errors.ts";
import { replayed } from "../../search/decorators/recorded.ts";
import type { Reranker } from "../../search/rerank/reranker.ts";
import type { QueryResult, Searcher } from "../../search/searcher.ts";
import { SearchConfig, searchComplaint } from "../recipe/search-settings.ts";
import { decorated } from "./decorators.ts";

export interface OpenSearch {
  readonly searcher: Searcher;
  /** Sends one test query without cache or recording; absent if search runs in this process. */
  readonly probe?: (signal: AbortSignal) => Promise<QueryResult>;
  /** Counts and milliseconds since the last call. */
  readonly timing: () => Record<string, number>;
  /** Why queries were refused permanently; undefined if none was. */
  readonly refused: () => string | undefined;
}

/** Loaded by those alone who rerank. */
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
  if (search.replay !== undefined) {
    const { searcher, timing, refused } = decorated(replayed(search.replay), { search, isRemote: false });
    return { searcher, timing, refused };
  }
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
  if (search.source === "web") {
    const { openWeb } = await import("./open-web.ts");
    const web = openWeb(search);
    const { searcher, timing, refused, upTo } = decorated(web, { search, reranker, isRemote: true });
    // a provider is probed within its rate and its budget
    return { searcher, refused, timing: () => ({ ...timing(), ...web.take() }), probe: probeOf(upTo("budgeted")) };
  }
  if (search.source === "http") {
    const { openUrl } = await import("./open-url.ts");
    const server = await openUrl(search.url!, search.timeoutMs);
    const { searcher, timing, refused, upTo } = decorated(server, { search, reranker, isRemote: true });
    // a server of one's own is probed without waiting for its rate, and for nothing
    return { searcher, timing, refused, probe: probeOf(upTo("circuit-broken")) };
  }
  const { searcher, timing, refused } = decorated(await openLocal(search), { search, reranker, isRemote: false });
  return { searcher, timing, refused };
}

/** Asks one query that costs little. */
const probeOf = (searcher: Searcher) => async (signal: AbortSignal) =>
  (await searcher.search(["probe"], { k: 1, signal }))[0]!;
