import { checkBind } from "../base/http/serve.ts";
import { packageVersion } from "../base/package.ts";
import type { SearchConfig } from "../run/recipe/search-settings.ts";
import { openSearch } from "../run/search/open-search.ts";
import { rerankerAt } from "../run/search/open-source.ts";
import type { SearchTotals } from "./search-app.ts";
import { type SearchServerOptions, serveSearch } from "./search-server.ts";

export interface ServeSearchOptions extends Omit<SearchServerOptions, "searcher" | "reranker" | "version"> {
  readonly host: string;
  readonly search: Partial<SearchConfig>;
  /** Folder of a cross-encoder that reranks the results. */
  readonly rerank?: string | undefined;
  /** Serves until it is raised. */
  readonly signal: AbortSignal;
  /** Receives one line once the server is ready. */
  readonly say: (text: string) => void;
}

/** @returns what the server did, with its address, after the signal was raised and the last reply was sent */
export async function runServeSearch(options: ServeSearchOptions): Promise<SearchTotals & { readonly url: string }> {
  const { search, rerank, signal, say, host, token } = options;
  checkBind(host, token); // checked before a large index is opened
  const reranker = rerank === undefined ? undefined : await rerankerAt(rerank);
  const { searcher } = await openSearch(search);
  try {
    const server = await serveSearch({ ...options, searcher, reranker, version: packageVersion() });
    const { passages } = searcher.info();
    say(`r1-searcher search listens on ${server.url}${passages === undefined ? "" : ` (${passages} passages)`}`);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await server.close();
    return { url: server.url, ...server.totals() };
  } finally {
    await searcher.close();
    await reranker?.close();
  }
}
