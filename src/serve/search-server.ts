import { checkBind, type HttpServer, serveHttp } from "../base/http/serve.ts";
import type { Reranker } from "../search/rerank/reranker.ts";
import type { Searcher } from "../search/searcher.ts";
import { type SearchTotals, searchApp } from "./search-app.ts";

export interface SearchServerOptions {
  readonly searcher: Searcher;
  /** Reranks the best passages of every query, and answers /rerank. */
  readonly reranker?: Reranker | undefined;
  /** Number of passages per query that are reranked, unless a request says otherwise. */
  readonly rerankDepth?: number | undefined;
  readonly host?: string;
  /** 0 uses a free port. */
  readonly port: number;
  readonly token?: string | undefined;
  /** Length of the queue; when it is full, requests are rejected. */
  readonly maxWaiting?: number | undefined;
  readonly version: string;
}

export interface SearchServer extends HttpServer {
  totals(): SearchTotals;
}

/** @throws ConfigError if it may not or cannot listen there */
export async function serveSearch(options: SearchServerOptions): Promise<SearchServer> {
  const { host = "127.0.0.1", port, token } = options;
  checkBind(host, token);
  const app = searchApp(options);
  const server = await serveHttp({ fetch: app.fetch, host, port });
  return {
    ...server,
    totals: app.totals,
    close: () => {
      app.stopServing();
      return server.close();
    },
  };
}
