import { checkBind, type HttpServer, serveHttp } from "../base/http/serve.ts";
import type { Reranker } from "../search/rerank/reranker.ts";
import type { Searcher } from "../search/searcher.ts";
import { type SearchTotals, searchApp } from "./search-app.ts";

export interface SearchServerOptions {
  readonly searcher: Searcher;
  /** Reads the best passages of every query again, and answers /rerank. */
  readonly reranker?: Reranker | undefined;
  /** Passages that it reads for each query, where a request does not say. */
  readonly rerankDepth?: number | undefined;
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly token?: string | undefined;
  /** Queries that may wait before requests are sent away. */
  readonly maxWaiting?: number | undefined;
  readonly version: string;
}

export interface SearchServer extends HttpServer {
  totals(): SearchTotals;
}

/** @throws ConfigError where it may not or cannot listen there */
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
