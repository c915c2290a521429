/** @file From names to searchers. Apart from what picks engines, so that who only searches loads none. */
import { ConfigError } from "../../base/errors.ts";
import type { World } from "../../data/world/world.ts";
import { memorySearcher } from "../../search/bm25/searcher.ts";
import type { Searcher } from "../../search/searcher.ts";
import type { SearchConfig } from "../recipe/search-settings.ts";
import { openIndexFolder } from "./open-index.ts";
import { type OpenSearch, openSearchSource } from "./open-source.ts";
import { passagesOf } from "./run-index-build.ts";

export function worldSearcher(world: World): Searcher {
  return memorySearcher(world.passages);
}

/**
 * A searcher that a program made, with what the recipe puts around any searcher: limits, budget, reranking, files. What
 * the recipe says of where to search is left aside.
 *
 * @param isOwned closing what is returned closes the searcher too
 */
export function openSuppliedSearch(searcher: Searcher, search: SearchConfig, isOwned: boolean): Promise<OpenSearch> {
  const { rerank, rerankDepth, timeoutMs, attempts, perSecond, concurrency, budget, cache, record, replay } = search;
  const around = { rerank, rerankDepth, timeoutMs, attempts, perSecond, concurrency, budget, cache, record, replay };
  const { info, search: ask } = { info: () => searcher.info(), search: searcher.search.bind(searcher) };
  const kept = isOwned ? searcher : { info, search: ask, close: async () => {} };
  return openSearchSource(around, async () => kept);
}

/** Where to search, from options or a recipe. @throws ConfigError, DataError or SearchError where it cannot be opened */
export function openSearch(search: Partial<SearchConfig>, worlds: readonly World[] = []): Promise<OpenSearch> {
  return openSearchSource(search, async ({ source, path, encoder, timeoutMs }) => {
    if (source === "index") return openIndexFolder(path!, { encoder, timeoutMs });
    if (source === "corpus") {
      const passages = [];
      for await (const passage of passagesOf(path!)) passages.push(passage);
      return memorySearcher(passages);
    }
    // names repeat between worlds, so one index over several would mix their facts
    if (worlds.length !== 1) throw new ConfigError(`data.worldSeeds names ${worlds.length} worlds; one is supported`);
    return worldSearcher(worlds[0]!);
  });
}
