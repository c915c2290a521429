/** @file Opens the source that the settings name and wraps it in its decorators. */
import { ConfigError } from "../../base/errors.ts";
import { replayed } from "../../search/decorators/recorded.ts";
import type { Reranker } from "../../search/rerank/reranker.ts";
import type { QueryResult, Searcher } from "../../search/searcher.ts";
import { SearchConfig, searchComplaint } from "../recipe/search-settings.ts";
import { decorated } from "./decorators.ts";

export interface OpenSearch {
  readonly searcher: Searcher;
  /** Asks once, past every file; absent where search is in this process and cannot be away. */
  readonly probe?: (signal: AbortSignal) => Promise<QueryResult>;
  /** Counts and milliseconds since it was last asked. */
  readonly timing: () => Record<string, number>;
  /** Why queries were refused for good; undefined while none was. */
  readonly refused: () => string | undefined;
}

/** Loaded by those alone who rerank. */
export async function rerankerAt(directory: string): Promise<Reranker> {
  const { openReranker } = await import("./open-reranker.ts");
  return openReranker(directory);
}

/**
 * @param openLocal opens what the source names where that is no server
 * @throws ConfigError on keys that do not fit, SearchError where a server does not answer
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
