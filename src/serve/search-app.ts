/** @file Serves a searcher with the HTTP protocols of R1-Searcher, Search-R1, veRL, SkyRL and ReSearch. */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { messageOf, R1SearcherError, SearchError } from "../base/errors.ts";
import { guard } from "../base/http/serve.ts";
import type { Passage } from "../protocol/passage.ts";
import { passageOf } from "../search/remote/dialects.ts";
import { defaultDepth, rerankedInfo } from "../search/rerank/reranked.ts";
import type { Reranker } from "../search/rerank/reranker.ts";
import type { Hit, QueryResult, Searcher, SearcherInfo } from "../search/searcher.ts";
import { Batcher, OverloadedError } from "./batcher.ts";
import { boundedJson, complaint } from "./bounded-json.ts";
import { Registry } from "./prometheus.ts";
import { type RerankService, rerankService } from "./rerank-service.ts";
import {
  batchSearchRoute,
  healthRoute,
  limits,
  queriesRoute,
  rerankRoute,
  retrieveRoute,
  searchRoute,
} from "./search-routes.ts";

export interface SearchAppOptions {
  readonly searcher: Searcher;
  /** Reranks the best passages of every query, and answers /rerank. */
  readonly reranker?: Reranker | undefined;
  /** Number of passages per query that are reranked, unless a request says otherwise. */
  readonly rerankDepth?: number | undefined;
  readonly token?: string | undefined;
  /** Length of the queue. */
  readonly maxWaiting?: number | undefined;
  readonly version: string;
}

/** Totals for the program that started it. */
export interface SearchTotals {
  readonly requests: number;
  readonly queries: number;
  readonly rejected: number;
}

export interface SearchApp {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  /** From now on new requests are rejected. */
  stopServing(): void;
  totals(): SearchTotals;
}

/** Maximum length of a query in UTF-16 units; longer ones are cut, and counted. */
const maxQueryLength = 8192;
/** Seconds after which a rejected client should retry. */
const retryAfter = 1;

export function searchApp(options: SearchAppOptions): SearchApp {
  const { searcher, reranker, rerankDepth = defaultDepth, token, version } = options;
  const metrics = new ServerMetrics(searcher);
  const app = new OpenAPIHono({
    defaultHook: (result, context) =>
      result.success ? undefined : context.json({ error: complaint(result.error) }, 400),
  });
  const state = { serving: true };
  addChecks(app, metrics, token, state);
  const service = reranker && rerankService(reranker, { maxWaiting: limits.reranked, onPairs: metrics.reranked.add });
  addDialects(app, asking(options, metrics, service), service !== undefined);
  addRerank(app, service);
  addService(app, metrics, version, () => {
    const info = searcher.info();
    return reranker ? rerankedInfo(info, reranker, rerankDepth) : info;
  });
  app.notFound((context) => context.json({ error: `there is no ${context.req.method} ${context.req.path}` }, 404));
  app.onError((error, context) => replyToError(error, context, metrics));
  return {
    fetch: app.fetch,
    stopServing: () => {
      state.serving = false;
    },
    totals: () => ({
      requests: metrics.requests.total(),
      queries: metrics.queries.total(),
      rejected: metrics.rejected.total(),
    }),
  };
}

/**
 * Checks for every request, in this order: counting, authorisation, whether the server is stopping, size of the body
 * in bytes and in values.
 */
function addChecks(
  app: OpenAPIHono,
  metrics: ServerMetrics,
  token: string | undefined,
  state: { readonly serving: boolean },
) {
  app.use(async (context, next) => {
    const began = performance.now();
    await next();
    metrics.requests.add(1, { path: knownPath(context.req.path), status: context.res.status });
    metrics.latency.observe((performance.now() - began) / 1000);
  });
  app.use(guard(token));
  app.use(async (context, next) => {
    if (state.serving) return next();
    const headers = { "retry-after": String(retryAfter), connection: "close" };
    return context.json({ error: "this server is about to stop" }, 503, headers);
  });
  app.use(
    bodyLimit({
      maxSize: limits.bodyBytes,
      onError: (context) => context.json({ error: `expected a body of at most ${limits.bodyBytes} bytes` }, 413),
    }),
  );
  app.use(boundedJson(limits.bodyValues));
}

interface Asked {
  readonly k: number;
  /** Passages per query that are reranked; if absent, the server's default. */
  readonly depth?: number | null | undefined;
}
type Ask = (context: Context, queries: readonly string[], asked: Asked) => Promise<readonly QueryResult[]>;

function asking(options: SearchAppOptions, metrics: ServerMetrics, service: RerankService | undefined): Ask {
  const { searcher, rerankDepth = defaultDepth, maxWaiting } = options;
  const batcher = new Batcher(searcher, {
    onBatch: metrics.batches.observe,
    ...(maxWaiting === undefined ? {} : { maxWaiting }),
  });
  metrics.registry.gauge("search_waiting_queries", "Queries in the queue", () => batcher.waiting);
  return async (context, queries, { k, depth }) => {
    const wanted = service ? Math.max(k, depth ?? rerankDepth) : k;
    checkCount(queries.length, wanted, service ? limits.reranked : limits.passages);
    metrics.queries.add(queries.length);
    metrics.cut.add(queries.filter(({ length }) => length > maxQueryLength).length);
    const cut = queries.map((query) => query.slice(0, maxQueryLength));
    const { signal } = context.req.raw;
    const found = await batcher.search(cut, wanted, signal);
    const results = service ? await service.rerank(cut, found, { k, signal }) : found;
    metrics.failed.add(results.filter(({ ok }) => !ok).length);
    metrics.empty.add(results.filter((result) => result.ok && result.hits.length === 0).length);
    return results;
  };
}

/** @throws HTTPException if a single request wants too much */
function checkCount(queries: number, each: number, most: number): void {
  if (queries * each <= most) return;
  throw new HTTPException(400, {
    message: `${queries} queries of ${each} passages: expected at most ${most} passages`,
  });
}

class ServerMetrics {
  readonly registry = new Registry();
  readonly requests = this.registry.counter("search_requests_total", "Requests by path and status");
  readonly queries = this.registry.counter("search_queries_total", "Queries asked");
  readonly rejected = this.registry.counter("search_rejected_total", "Requests rejected because the queue was full");
  readonly failed = this.registry.counter("search_failed_total", "Queries that could not be answered");
  readonly reranked = this.registry.counter("search_reranked_total", "Passages reranked");
  readonly empty = this.registry.counter("search_empty_total", "Queries that found nothing");
  readonly cut = this.registry.counter("search_cut_total", `Queries cut to ${maxQueryLength} characters`);
  readonly latency = this.registry.histogram(
    "search_request_seconds",
    "From a request to its reply",
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  );
  readonly batches = this.registry.histogram("search_batch_queries", "Queries searched at once", [1, 2, 4, 8, 16, 32]);

  constructor(searcher: Searcher) {
    this.registry.gauge("search_passages", "Passages in the index", () => searcher.info().passages ?? 0);
    this.registry.gauge("process_resident_memory_bytes", "Resident memory", () => process.memoryUsage.rss());
  }
}

function addDialects(app: OpenAPIHono, ask: Ask, hasReranker: boolean): void {
  app.openapi(queriesRoute, async (context) => {
    const { queries, k } = context.req.valid("json");
    const results = allHits(await ask(context, queries, { k }));
    return context.json({ queries, answers: results.map((hits) => hits.map(lineOf)) }, 200);
  });
  app.openapi(retrieveRoute, async (context) => {
    const body = context.req.valid("json");
    const { topk_retrieval: depth, topk_rerank, rerank_topk } = body;
    const best = topk_rerank ?? rerank_topk;
    if (!hasReranker && (best ?? depth ?? undefined) !== undefined) return context.json(noReranker, 501);
    const results = await ask(context, body.queries ?? [body.query!], { k: best ?? body.topk, depth });
    const hits = body.partial ? results.map((result) => (result.ok ? result.hits : [])) : allHits(results);
    const result = hits.map((list) =>
      list.map((hit) => (body.return_scores ? { document: documentOf(hit), score: hit.score } : documentOf(hit))),
    );
    if (!body.partial) return context.json({ result }, 200);
    return context.json({ result, errors: results.map((one) => (one.ok ? null : one.error)) }, 200);
  });
  app.openapi(searchRoute, async (context) => {
    const { query, top_n, return_score } = context.req.valid("json");
    const [hits = []] = allHits(await ask(context, [query], { k: top_n }));
    const documents = hits.map(shortDocument);
    return context.json(return_score ? ([documents, scoresOf(hits)] as const) : documents, 200);
  });
  app.openapi(batchSearchRoute, async (context) => {
    const { query, top_n, return_score } = context.req.valid("json");
    const lists = allHits(await ask(context, query, { k: top_n }));
    const documents = lists.map((hits) => hits.map(shortDocument));
    return context.json(return_score ? ([documents, lists.map(scoresOf)] as const) : documents, 200);
  });
}

const noReranker = { error: "this server has no reranker: serve it with --rerank DIR" };

function addRerank(app: OpenAPIHono, service: RerankService | undefined): void {
  app.openapi(rerankRoute, async (context) => {
    const { queries, documents, rerank_topk: k, return_scores } = context.req.valid("json");
    if (!service) return context.json(noReranker, 501);
    // hits are identified by their positions, so that each document is returned as it came
    const given = documents.map(
      (list): QueryResult => ({
        ok: true,
        hits: list.map(({ document }, at) => ({
          ...passageOf({ ...document, id: String(at) }),
          score: 0,
          rank: at + 1,
        })),
      }),
    );
    const cut = queries.map((query) => query.slice(0, maxQueryLength));
    const lists = allHits(await service.rerank(cut, given, { k, signal: context.req.raw.signal }));
    const result = lists.map((hits, i) =>
      hits.map(({ id, score }) => {
        const { document } = documents[i]![Number(id)]!;
        return return_scores ? { document, score } : document;
      }),
    );
    return context.json({ result }, 200);
  });
}

function addService(app: OpenAPIHono, metrics: ServerMetrics, version: string, infoOf: () => SearcherInfo): void {
  app.openapi(healthRoute, (context) => {
    const { passages, ...info } = infoOf();
    return context.json(
      {
        status: "healthy" as const,
        retrievers: { total: 1, available: 1 },
        searcher: { ...info, ...(passages === undefined ? {} : { passages }) },
      },
      200,
    );
  });
  app.get("/metrics", (context) =>
    context.text(metrics.registry.text(), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }),
  );
  app.doc31("/openapi.json", { openapi: "3.1.0", info: { title: "r1-searcher search", version } });
}

/** These protocols cannot express that one query of many failed, and an empty list would be taken for an answer. */
function allHits(results: readonly QueryResult[]): (readonly Hit[])[] {
  return results.map((result, i) => {
    if (!result.ok) throw new SearchError(`query ${i + 1} of ${results.length} failed: ${result.error.message}`);
    return result.hits;
  });
}

const contentsOf = ({ title, text }: Passage) => `"${title}"\n${text}`;
const lineOf = ({ id, title, text }: Passage) => `${id}\tTitle: ${title} Text: ${text}`;
const documentOf = (hit: Passage) => ({ id: hit.id, contents: contentsOf(hit), title: hit.title, text: hit.text });
const shortDocument = (hit: Passage) => ({ id: hit.id, contents: contentsOf(hit) });
const scoresOf = (hits: readonly Hit[]) => hits.map(({ score }) => score);

const paths = new Set(
  [queriesRoute, retrieveRoute, searchRoute, batchSearchRoute, rerankRoute, healthRoute].map(
    ({ path }): string => path,
  ),
);
/** Unknown paths are counted as one; otherwise a scan of random paths would fill the memory. */
const knownPath = (path: string) => (paths.has(path) || path === "/metrics" ? path : "other");

function replyToError(error: Error, context: Context, metrics: ServerMetrics): Response {
  if (error instanceof OverloadedError) {
    metrics.rejected.add();
    return context.json({ error: error.message }, 503, { "retry-after": String(retryAfter) });
  }
  if (error instanceof HTTPException) {
    const challenge = error.res?.headers.get("www-authenticate");
    const said =
      error.message || (error.status === 401 ? "expected the server's token: Authorization: Bearer …" : "refused");
    return context.json({ error: said }, error.status, challenge ? { "www-authenticate": challenge } : {});
  }
  if (error instanceof R1SearcherError) return context.json({ error: error.message }, 500);
  if (context.req.raw.signal.aborted) return context.json({ error: "the client has gone" }, 400); // #2 // nobody will read this reply
  process.stderr.write(`bug: ${error.stack ?? messageOf(error)}\n`);
  return context.json({ error: "a defect of this server; its log has the details" }, 500);
}
