import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Passage } from "../../protocol/passage.ts";
import { serveSearch } from "../../serve/search-server.ts";
import { memorySearcher } from "../bm25/searcher.ts";
import { searcherConformance } from "../conformance.ts";
import type { Searcher } from "../searcher.ts";
import { openHttpSearch } from "./http.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Ours, over passages in memory. */
async function ourServer(passages: readonly Passage[]): Promise<string> {
  const server = await serveSearch({ searcher: memorySearcher(passages), port: 0, version: "0" });
  closing.push(server.close);
  return server.url;
}

/** A server of somebody else: whatever `reply` makes of a request; no /health. */
async function otherServer(reply: (body: never, response: ServerResponse, path: string) => unknown): Promise<string> {
  const server = createServer(async (request, response) => {
    if (request.method !== "POST") return void response.writeHead(404).end();
    const answer = await reply((await bodyOf(request)) as never, response, request.url ?? "");
    if (answer !== undefined) response.setHeader("content-type", "application/json").end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

async function open(url: string, options: Parameters<typeof openHttpSearch>[1] = {}): Promise<Searcher> {
  const searcher = await openHttpSearch(url, options);
  closing.unshift(() => searcher.close());
  return searcher;
}

const addresses = ["", "/retrieve", "/queries", "/search", "/batch_search"];
const overOurs = addresses.flatMap((path) =>
  searcherConformance(`our server at ${path || "its address"}`, async (passages) =>
    open(`${await ourServer(passages)}${path}`),
  ),
);
const overSingle = searcherConformance("our server asked as SkyRL does", async (passages) =>
  open(`skyrl+${await ourServer(passages)}`),
);
for (const { name, run } of [...overOurs, ...overSingle]) test(name, run);

interface Retrieve {
  readonly queries?: string[];
  readonly query?: string | string[];
  readonly k?: number;
  readonly topk?: number;
  readonly top_n?: number;
}

describe("a server in another's shape", () => {
  const inMemory = async (passages: readonly Passage[], queries: readonly string[], k: number) => {
    const results = await memorySearcher(passages).search(queries, { k });
    return results.map((result) => (result.ok ? result.hits : []));
  };
  const document = ({ id, title, text }: Passage) => ({ id, contents: `"${title}"\n${text}` });
  const kinds: Record<string, (passages: readonly Passage[]) => Promise<string>> = {
    "R1-Searcher's": async (passages) => {
      const url = await otherServer(async ({ queries = [], k = 3 }: Retrieve) => ({
        queries,
        answers: (await inMemory(passages, queries, k)).map((hits) =>
          hits.map(({ id, title, text }) => `${id}\tTitle: ${title} Text:  ${text}`),
        ),
      }));
      return `${url}/queries`;
    },
    "Search-R1's": async (passages) => {
      const url = await otherServer(async ({ queries = [], topk = 3 }: Retrieve) => ({
        result: (await inMemory(passages, queries, topk)).map((hits) =>
          hits.map((hit) => ({ document: document(hit), score: hit.score })),
        ),
      }));
      return `${url}/retrieve`;
    },
    "SkyRL's": async (passages) => {
      const url = await otherServer(async ({ query, topk = 3 }: Retrieve) => {
        expect(query).toBeTypeOf("string");
        const [hits] = await inMemory(passages, [query as string], topk);
        return { result: [hits!.map((hit) => ({ document: document(hit), score: hit.score }))] };
      });
      return `skyrl+${url}/retrieve`;
    },
    "ReSearch's": async (passages) => {
      const url = await otherServer(async ({ query = [], top_n = 10 }: Retrieve) => {
        const lists = await inMemory(passages, query as string[], top_n);
        return [lists.map((hits) => hits.map(document)), lists.map((hits) => hits.map(({ score }) => score))];
      });
      return `${url}/batch_search`;
    },
  };
  for (const [kind, start] of Object.entries(kinds)) {
    const checks = searcherConformance(kind, async (passages) => open(await start(passages)), { hidesSize: true });
    for (const { name, run } of checks) test(name, run);
  }
});

describe("what a server does wrong", () => {
  const hit = { document: { id: 7, contents: '"T"\ntext' }, score: 1 };
  const first = async (reply: Parameters<typeof otherServer>[0], options = {}) => {
    const searcher = await open(`${await otherServer(reply)}/retrieve`, options);
    return (await searcher.search(["one"], { k: 2 }))[0]!;
  };

  test.each([
    ["500", 500, true],
    ["429", 429, true],
    ["503", 503, true],
    ["404", 404, false],
    ["401", 401, false],
    ["422", 422, false],
  ])("status %s", async (_, status, retryable) => {
    const result = await first((_body, response) => void response.writeHead(status, { "retry-after": "2" }).end("no"));
    expect(result).toMatchObject({ ok: false, error: { retryable, retryAfterMs: 2000 } });
    expect(JSON.stringify(result)).toContain(`status ${status}: no`);
  });

  test.each<[string, unknown, boolean, string]>([
    ["another shape", { documents: [] }, false, "another shape"],
    ["null", null, false, "another shape"],
    ["too few results", { result: [] }, true, "1 queries got 0 results"],
    ["too many results", { result: [[], []] }, true, "1 queries got 2 results"],
  ])("%s", async (_, reply, retryable, message) => {
    const result = await first((_body, response) => void response.end(JSON.stringify(reply)));
    expect(result).toMatchObject({ ok: false, error: { retryable } });
    expect(JSON.stringify(result)).toContain(message);
  });

  test("a reply that is cut off, no JSON, or never comes", async () => {
    const cut = await first((_body, response) => {
      response.writeHead(200, { "content-length": "1000" }).write('{"result":');
      setTimeout(() => response.destroy(), 20);
    });
    const page = await first((_body, response) => void response.end("<html>"));
    const never = await first(() => new Promise(() => {}), { timeoutMs: 1500 });
    for (const result of [cut, page, never]) expect(result).toMatchObject({ ok: false, error: { retryable: true } });
    expect(JSON.stringify(never)).toContain("no answer within 1500 ms");
  });

  test("more passages than asked, passages without words, scores that are none", async () => {
    const empty = { document: { id: "e", contents: "" }, score: 9 };
    const result = await first(() => ({ result: [[empty, { ...hit, score: null }, { document: hit.document }, hit]] }));
    expect(result).toEqual({
      ok: true,
      hits: [1, 2].map((rank) => ({ id: "7", title: "T", text: "text", score: 0, rank })),
    });
  });

  test("a proxy of web search: neither ids nor scores", async () => {
    const result = await first(() => ({ result: [[{ document: { contents: '"Emma"\nby Austen' } }]] }));
    expect(result).toMatchObject({ ok: true, hits: [{ title: "Emma", text: "by Austen", id: expect.any(String) }] });
  });
});

test("a reply may fail one query and answer the others", async () => {
  const failing: Searcher = {
    ...memorySearcher([]),
    search: async (queries) =>
      queries.map((query) =>
        query === "bad"
          ? { ok: false, error: { message: "disk", retryable: true } }
          : { ok: true, hits: [{ id: "1", title: "T", text: query, score: 1, rank: 1 }] },
      ),
  };
  const server = await serveSearch({ searcher: failing, port: 0, version: "0" });
  closing.push(server.close);
  const searcher = await open(server.url);
  const results = await searcher.search(["good", "bad", "fine"], { k: 1 });
  expect(results.map(({ ok }) => ok)).toEqual([true, false, true]);
  const asked = await open(`${server.url}/queries`);
  const all = await asked.search(["good", "bad"], { k: 1 });
  expect(all.map(({ ok }) => ok)).toEqual([false, false]); // that shape has no place for one failure
});

describe("an address", () => {
  test("that nothing answers at is said at once", async () => {
    await expect(open("http://127.0.0.1:9/retrieve", { timeoutMs: 2000 })).rejects.toThrow("does not answer");
  });

  test.each([
    ["http:/x"],
    ["ftp://host/retrieve"],
    ["solr+http://host"],
    ["http://127.0.0.1:9/retrieve?key=secret"],
    ["http://someone@127.0.0.1:9/retrieve"],
  ])("%s is refused", async (url) => {
    await expect(openHttpSearch(url)).rejects.toMatchObject({ name: "ConfigError" });
  });

  test("with a token: only with it", async () => {
    const token = "0123456789abcdef0123";
    const server = await serveSearch({ searcher: memorySearcher([]), port: 0, token, version: "0" });
    closing.push(server.close);
    await expect(open(server.url)).rejects.toThrow("status 401");
    expect((await open(server.url, { token })).info().passages).toBe(0);
  });
});
