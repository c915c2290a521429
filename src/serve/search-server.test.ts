import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Passage } from "../protocol/passage.ts";
import { memorySearcher } from "../search/bm25/searcher.ts";
import type { Reranker } from "../search/rerank/reranker.ts";
import type { QueryResult, Searcher } from "../search/searcher.ts";
import { type SearchServer, type SearchServerOptions, serveSearch } from "./search-server.ts";

const passages: readonly Passage[] = [
  { id: "1", title: "Ada", text: "wrote the first program" },
  { id: "2", title: "Bob", text: "baked bread" },
];

let server: SearchServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(options: Partial<SearchServerOptions> = {}): Promise<string> {
  server = await serveSearch({ searcher: memorySearcher(passages), port: 0, version: "9", ...options });
  return server.url;
}

const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

/** Answers when told to. */
function heldSearcher(): { searcher: Searcher; batches: number[]; release: () => void } {
  const batches: number[] = [];
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const search = async (queries: readonly string[]): Promise<QueryResult[]> => {
    batches.push(queries.length);
    await gate;
    return queries.map(() => ({ ok: true, hits: [] }));
  };
  return { searcher: { ...memorySearcher(passages), search }, batches, release: open };
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

describe("who may ask", () => {
  const token = "0123456789abcdef";

  test("programs of this machine, by any of its names", async () => {
    const url = await start();
    const status = async (headers: Record<string, string>) => rawStatus(url, headers);
    for (const host of ["localhost", "127.0.0.1:99", "127.9.9.9", "[::1]:80", "0.0.0.0:5003"]) {
      expect([host, await status({ host })]).toEqual([host, 200]);
    }
    for (const host of [
      "evil.com",
      "evil.com:80",
      "127.0.0.1.evil.com",
      "localhost.evil.com",
      "10.0.0.1",
      "169.254.169.254",
    ]) {
      expect([host, await status({ host })]).toEqual([host, 403]);
    }
    for (const origin of ["http://evil.com", "null", "https://127.0.0.1.evil.com", "file://"]) {
      expect([origin, await status({ host: "localhost", origin })]).toEqual([origin, 403]);
    }
    expect(await status({ host: "localhost", origin: "http://localhost:3000" })).toBe(200);
  });

  test("with a token: nobody without it, on any route", async () => {
    const url = await start({ token });
    for (const path of ["/health", "/metrics", "/openapi.json", "/nothing"]) {
      expect((await fetch(`${url}${path}`)).status).toBe(401);
      expect((await fetch(`${url}${path}`, { headers: { authorization: "Bearer wrong" } })).status).toBe(401);
    }
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${url}/health`, { headers })).status).toBe(200);
    expect((await post(`${url}/queries`, { queries: ["x"] }, headers)).status).toBe(200);
  });

  test("another bind without a token, or with a short one, does not start", async () => {
    await expect(start({ host: "0.0.0.0" })).rejects.toThrow("--token");
    await expect(start({ host: "0.0.0.0", token: "short" })).rejects.toThrow("5 characters");
    const taken = new URL(await start()).port;
    await expect(start({ port: Number(taken) })).rejects.toMatchObject({ name: "ConfigError" });
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

describe("with a reranker", () => {
  /** Prefers passages with more letters. */
  const reranker: Reranker = {
    identity: { source: "letters", fingerprint: "0123456789abcdef0123" },
    score: async (_, texts) => texts.map((text) => text.length),
    close: async () => {},
  };
  const many: readonly Passage[] = Array.from({ length: 20 }, (_, i) => ({
    id: String(i),
    title: "bread",
    text: "x".repeat(i + 1),
  }));
  const ids = (documents: readonly { readonly id: string }[]) => documents.map(({ id }) => id);

  test("every dialect gets its order, and /retrieve says how many are read", async () => {
    const url = await start({ searcher: memorySearcher(many), reranker, rerankDepth: 5 });
    const { answers } = (await (await post(`${url}/queries`, { queries: ["bread"], k: 2 })).json()) as {
      answers: string[][];
    };
    expect(answers[0]!.map((line) => line.split("\t")[0])).toEqual(["4", "3"]); // of the first five
    const retrieved = async (more: object) => {
      const reply = await post(`${url}/retrieve`, { queries: ["bread"], ...more });
      return ids(((await reply.json()) as { result: { id: string }[][] }).result[0]!);
    };
    expect(await retrieved({ topk: 2 })).toEqual(["4", "3"]);
    expect(await retrieved({ topk_retrieval: 8, topk_rerank: 3 })).toEqual(["7", "6", "5"]);
    expect(await retrieved({ topk_rerank: 7 })).toEqual(["6", "5", "4", "3", "2", "1", "0"]);
    const health = (await (await fetch(`${url}/health`)).json()) as { searcher: { settings: object; hash: string } };
    expect(health.searcher.settings).toMatchObject({ reranker: "0123456789abcdef", rerankDepth: 5 });
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("\nsearch_reranked_total 25\n");
  });

  test("/rerank orders documents as /retrieve gives them, or bare, and hands them back as they came", async () => {
    const url = await start({ reranker });
    const document = { id: 7, contents: '"T"\nlong text' };
    const documents = [[{ contents: '"T"\nx' }, { document, score: 0.5 }], []];
    const reply = await post(`${url}/rerank`, { queries: ["a", "b"], documents, rerank_topk: 2, return_scores: true });
    expect(await reply.json()).toEqual({
      result: [
        [
          { document, score: "T long text".length },
          { document: { contents: '"T"\nx' }, score: "T x".length },
        ],
        [],
      ],
    });
    const bare = await post(`${url}/rerank`, { queries: ["a", "b"], documents, rerank_topk: 1 });
    expect(await bare.json()).toEqual({ result: [[document], []] });
    const wide = Array.from({ length: 5000 }, () => ({ contents: "x" }));
    expect((await post(`${url}/rerank`, { queries: ["a"], documents: [wide] })).status).toBe(400);
  });

  test("too many passages at once are sent away", async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const slow: Reranker = {
      ...reranker,
      score: async (_, texts) => {
        await gate;
        return texts.map(() => 0);
      },
    };
    const url = await start({ reranker: slow });
    const ask = (count: number) =>
      post(`${url}/rerank`, { queries: ["a"], documents: [Array.from({ length: count }, () => ({ contents: "x" }))] });
    const first = ask(4000);
    await until(async () => (await (await fetch(`${url}/metrics`)).text()).includes("search_reranked_total 4000"));
    const refused = await ask(200);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    open();
    expect((await first).status).toBe(200);
    expect((await ask(200)).status).toBe(200);
  });
});

test("queries of many requests are searched together", async () => {
  const { searcher, batches, release } = heldSearcher();
  const url = await start({ searcher });
  const replies = Array.from({ length: 40 }, () => post(`${url}/queries`, { queries: ["x"] }));
  await until(() => server!.totals().queries === 40);
  release();
  for (const reply of await Promise.all(replies)) expect(reply.status).toBe(200);
  expect(batches.reduce((sum, size) => sum + size, 0)).toBe(40);
  expect(batches.length).toBeLessThan(30);
  expect(Math.max(...batches)).toBeLessThanOrEqual(32);
});

test("a full queue sends requests away, and takes them again once it is empty", async () => {
  const { searcher, batches, release } = heldSearcher();
  const url = await start({ searcher, maxWaiting: 50 });
  const held = Array.from({ length: 6 }, () =>
    post(`${url}/queries`, { queries: Array.from({ length: 32 }, () => "x") }),
  );
  await until(() => server!.totals().queries === 6 * 32);
  const answered: Response[] = [];
  for (const reply of held)
    reply.then(
      (response) => answered.push(response),
      () => {},
    );
  await until(() => answered.length > 0);
  const refused = [...answered];
  for (const reply of refused) {
    expect([reply.status, reply.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await reply.json()).toMatchObject({ error: expect.stringContaining("wait already") });
  }
  expect(batches.length).toBeLessThanOrEqual(4);
  release();
  const began = performance.now();
  expect((await post(`${url}/queries`, { queries: ["x"] })).status).toBe(200);
  expect(performance.now() - began).toBeLessThan(2000);
  await Promise.all(held);
  expect(server!.totals().rejected).toBe(refused.length);
});

test("it ends its replies before it closes, and takes no new request", async () => {
  const { searcher, batches, release } = heldSearcher();
  const url = await start({ searcher });
  const reply = post(`${url}/queries`, { queries: ["x"] });
  await until(() => batches.length > 0);
  const closed = server!.close();
  await expect(fetch(`${url}/health`)).rejects.toThrow();
  setTimeout(release, 100);
  expect((await reply).status).toBe(200);
  await closed;
});

test("a client that has gone frees its place in the queue", async () => {
  const { searcher, batches, release } = heldSearcher();
  const url = await start({ searcher, maxWaiting: 40 });
  const queries = Array.from({ length: 32 }, () => "x");
  const running = Array.from({ length: 4 }, () => post(`${url}/queries`, { queries }));
  await until(() => batches.length === 4);
  const controller = new AbortController();
  const gone = fetch(`${url}/queries`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ queries }),
    signal: controller.signal,
  });
  await until(() => server!.totals().queries === 5 * 32);
  controller.abort();
  await expect(gone).rejects.toThrow();
  await sleep(200);
  release();
  await Promise.all(running);
  await sleep(100);
  expect(batches).toHaveLength(4); // what it asked was never searched
});

test("headers that never end are cut off", async () => {
  const url = new URL(await start());
  const socket = connect(Number(url.port), url.hostname);
  socket.write("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
  const began = performance.now();
  await new Promise<void>((resolve) => socket.once("close", () => resolve()).on("data", () => {}));
  expect(performance.now() - began).toBeLessThan(8_000);
});

/** fetch sets its own Host. */
function rawStatus(url: string, headers: Record<string, string>): Promise<number> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(Number(/^HTTP\/1.1 (\d+)/.exec(data.toString())?.[1]));
    });
    socket.write(`GET /health HTTP/1.1\r\n${lines.join("")}\r\n`);
  });
}

const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}
