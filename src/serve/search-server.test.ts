import { afterEach, describe, expect, test } from "vitest";
import { memorySearcher } from "../search/bm25/searcher.ts";
import { type SearchServer, type SearchServerOptions, serveSearch } from "./search-server.ts";
import { passages, post } from "./testing/asked-server.ts";

let server: SearchServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(options: Partial<SearchServerOptions> = {}): Promise<string> {
  server = await serveSearch({ searcher: memorySearcher(passages), port: 0, version: "9", ...options });
  return server.url;
}

describe("each dialect gets its own shape", () => {
  const line = "2\tTitle: Bob Text: baked bread";
  const full = { id: "2", contents: '"Bob"\nbaked bread', title: "Bob", text: "baked bread" };
  const short = { id: "2", contents: full.contents };
  const score = expect.any(Number);
  test.each<[string, unknown, unknown]>([
    ["/queries", { queries: ["bread", "zzz"], k: 3 }, { queries: ["bread", "zzz"], answers: [[line], []] }],
    ["/queries", { queries: ["bread"] }, { queries: ["bread"], answers: [[line]] }],
    ["/queries", { queries: [] }, { queries: [], answers: [] }],
    ["/retrieve", { queries: ["bread"], topk: 1, return_scores: true }, { result: [[{ document: full, score }]] }],
    ["/retrieve", { queries: ["bread"], topk: null }, { result: [[full]] }],
    ["/retrieve", { query: "bread", return_scores: true }, { result: [[{ document: full, score }]] }],
    ["/search", { query: "bread", top_n: 5 }, [short]],
    ["/search", { query: "bread", return_score: true }, [[short], [score]]],
    ["/batch_search", { query: ["bread", "zzz"] }, [[short], []]],
    ["/batch_search", { query: ["bread"], return_score: true }, [[[short]], [[score]]]],
  ])("%s %j", async (path, body, reply) => {
    const response = await post(`${await start()}${path}`, body);
    expect([response.status, await response.json()]).toEqual([200, reply]);
  });
});

describe("a request that is none is refused", () => {
  test.each<[string, unknown, number, string]>([
    ["/queries", "{", 400, "Malformed JSON"],
    ["/queries", {}, 400, "queries"],
    ["/queries", { queries: "bread" }, 400, "queries"],
    ["/queries", { queries: ["x"], k: 0 }, 400, "k: "],
    ["/queries", { queries: ["x"], k: 101 }, 400, "100"],
    ["/queries", { queries: Array.from({ length: 4097 }, () => "x") }, 400, "4096"],
    ["/queries", { queries: Array.from({ length: 1000 }, () => "x"), k: 100 }, 400, "40960"],
    ["/queries", { queries: ["x".repeat(5 << 20)] }, 413, "bytes"],
    ["/retrieve", { query: "x", queries: ["x"] }, 400, "expected queries or query"],
    ["/retrieve", { queries: ["x"], topk_rerank: 3 }, 501, "reranker"],
    ["/retrieve", { queries: ["x"], topk_retrieval: 3 }, 501, "reranker"],
    ["/rerank", { queries: ["x"], documents: [[]] }, 501, "reranker"],
    ["/rerank", { queries: ["x"], documents: [] }, 400, "one list"],
    ["/rerank", { queries: ["x"], documents: [[{ id: "1" }]] }, 400, "documents.0.0"],
    ["/nothing", {}, 404, "there is no POST /nothing"],
  ])("%s %.40j", async (path, body, status, message) => {
    const response = await post(`${await start()}${path}`, body);
    const { error } = (await response.json()) as { error: string };
    expect(response.status).toBe(status);
    expect(error).toContain(message);
    expect(error).not.toContain("    at ");
  });

  test("a query that is too long is cut and counted", async () => {
    const url = await start();
    const response = await post(`${url}/queries`, { queries: [`bread ${"x".repeat(10_000)}`] });
    expect(response.status).toBe(200);
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("\nsearch_cut_total 1\n");
  });
});

test("health, metrics and the description say what it serves", async () => {
  const url = await start();
  expect(await (await fetch(`${url}/health`)).json()).toMatchObject({
    status: "healthy",
    retrievers: { total: 1, available: 1 },
    searcher: { kind: "bm25", passages: 2 },
  });
  await post(`${url}/queries`, { queries: ["bread", "zzz"] });
  const metrics = await (await fetch(`${url}/metrics`)).text();
  for (const line of [
    'search_requests_total{path="/queries",status="200"} 1',
    "search_queries_total 2",
    "search_empty_total 1",
    "search_waiting_queries 0",
    "search_passages 2",
    'search_request_seconds_bucket{le="+Inf"} 2',
  ]) {
    expect(metrics).toContain(`${line}\n`);
  }
  const described = (await (await fetch(`${url}/openapi.json`)).json()) as { openapi: string; paths: object };
  expect(described.openapi).toBe("3.1.0");
  expect(Object.keys(described.paths)).toEqual(
    expect.arrayContaining(["/queries", "/retrieve", "/search", "/batch_search", "/rerank", "/health"]),
  );
});
