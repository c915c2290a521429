/** @file An evaluation over a server of somebody else: recorded, played back without it, bounded by a budget. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { toJson } from "../../base/jsonl.ts";
import { uniform } from "../../base/random.ts";
import { ScriptedSampler } from "../../engine/scripted.ts";
import { evaluate } from "../../eval/evaluate.ts";
import { byteTokenizer } from "../../protocol/byte-tokenizer.ts";
import { protocols } from "../../protocol/protocol.ts";
import { RolloutConfig } from "../../rollout/config.ts";
import { searchEnvironment } from "../../rollout/search-environment.ts";
import type { SearchConfig } from "../recipe/search-settings.ts";
import { openSearch } from "./open-search.ts";
import type { OpenSearch } from "./open-source.ts";

const folder = mkdtempSync(join(tmpdir(), "open-search-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let server: Server | undefined;
const stopServer = () => {
  server?.close();
  server?.closeAllConnections();
  server = undefined;
};
afterEach(stopServer);

const counts = { requests: 0 };

/** Answers in Search-R1's shape; a share of requests fails, some queries always. */
async function startProvider(failing = 0): Promise<string> {
  counts.requests = 0;
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.method !== "POST") return void response.writeHead(404).end();
    const { queries } = JSON.parse(body) as { queries: string[] };
    if (uniform(["fault", counts.requests++]) < failing) return void response.writeHead(503).end();
    if (queries[0]!.includes("13")) return void response.writeHead(400).end("unlucky");
    const contents = `"About ${queries[0]}"\nthe answer is ${queries[0]!.length}`;
    response.end(JSON.stringify({ result: [[{ document: { id: queries[0], contents }, score: 1 }]] }));
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/retrieve`;
}

const protocol = protocols["r1-searcher"];
const tokenizer = byteTokenizer([...Object.values(protocol.answer), "<|endoftext|>"], { eos: "<|endoftext|>" });
const questions = Array.from({ length: 40 }, (_, i) => ({ id: `${i}`, text: `question ${i}`, gold: ["London"] }));

/** Every attempt searches, then says what the documents made it say. */
async function measure({ searcher }: OpenSearch): Promise<string> {
  const sampler = new ScriptedSampler({
    replies: ({ key, tokens }) => {
      const words = tokenizer.decode(tokens);
      const heard = /the answer is (\d+)/.exec(words)?.[1] ?? "nothing";
      const query = `a<|begin_of_query|>query ${key.question}<|end_of_query|>`;
      return [...tokenizer.encodeTemplate(key.turn === 0 ? query : `b</think><answer>${heard}</answer>`)];
    },
    bytesOf: tokenizer.bytesOf,
  });
  const config = RolloutConfig.parse({});
  const { results } = await evaluate({
    ...{ questions, sampler, tokenizer, config, seed: 1, decode: "greedy", concurrency: 8 },
    environment: searchEnvironment({ searcher, protocol, config }),
    promptOf: ({ text }) => tokenizer.encodeText(text),
  });
  return results.map((row) => `${toJson(row)}\n`).join("");
}

test("what was recorded is played back to the byte with the provider gone, its failures too", async () => {
  const file = join(folder, "recording.jsonl");
  const recording = await openSearch({ source: "http", url: await startProvider(0.3), record: file });
  const first = await measure(recording);
  await recording.searcher.close();
  expect(counts.requests).toBeGreaterThan(questions.length); // some were tried again
  stopServer();
  const replay = await openSearch({ replay: file });
  expect(await measure(replay)).toBe(first);
  expect(first).toContain('"pred_ans":"8"');
  expect(first).toContain("environment-failed"); // query 13
  await replay.searcher.close();
});

test("a cache asks each query once", async () => {
  const cached = { source: "http", url: await startProvider(), cache: join(folder, "cache.jsonl") } as const;
  const outcomes: string[] = [];
  for (let i = 0; i < 2; i++) {
    const search = await openSearch(cached);
    outcomes.push(await measure(search));
    await search.searcher.close();
  }
  expect(outcomes[1]).toBe(outcomes[0]);
  expect(counts.requests).toBe(questions.length + 1); // the one that failed was asked again
});

test("a budget ends asking, and what was answered stays", async () => {
  const search = await openSearch({ source: "http", url: await startProvider(), budget: { calls: 10 } });
  const results = await measure(search);
  expect(counts.requests).toBe(10);
  expect(results.split("\n").filter((line) => line.includes('"scores"'))).toHaveLength(10);
  expect(search.refused()).toBe("the search budget is spent: 10 queries");
  expect(search.timing()).toMatchObject({ search_queries: 40, search_failed: 30 });
  await search.searcher.close();
});

const canary = "planted-key-0123456789";

/** Serper's shape, and the pages that its links lead to; a share of searches fails, and repeats the key that it got. */
async function startWebProvider(failing = 0): Promise<string> {
  counts.requests = 0;
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const host = `http://${request.headers.host}`;
    if (request.method === "GET") {
      const query = decodeURIComponent(request.url!.slice("/page/".length));
      const text = `Nothing else. About ${query}: the answer is ${query.length}. The end.`;
      return void response.writeHead(200, { "content-type": "text/plain" }).end(text);
    }
    const key = request.headers["x-api-key"];
    const fault = `no service for ${key}`;
    if (uniform(["fault", counts.requests++]) < failing) return void response.writeHead(503).end(fault);
    const { q } = JSON.parse(body) as { q: string };
    if (q.includes("13")) return void response.writeHead(400).end(fault);
    const link = `${host}/page/${encodeURIComponent(q)}`;
    response.end(JSON.stringify({ organic: [{ link, title: `About ${q}`, snippet: `the answer is ${q.length}` }] }));
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/search`;
}

const web = (url: string, mode: "snippets" | "pages" = "snippets"): Partial<SearchConfig> => ({
  ...{ source: "web", provider: "serper", url, mode, allowAddresses: ["127.0.0.1"] },
});

test("the web is recorded and played back likewise, and its key is nowhere", async () => {
  process.env.SERPER_API_KEY = canary;
  for (const mode of ["snippets", "pages"] as const) {
    const file = join(folder, `web-${mode}.jsonl`);
    const recording = await openSearch({ ...web(await startWebProvider(0.3), mode), record: file });
    const first = await measure(recording);
    await recording.searcher.close();
    stopServer();
    const kept = [readFileSync(file, "utf8"), first, JSON.stringify([recording.searcher.info(), recording.timing()])];
    expect(kept.join("\n")).not.toContain(canary);
    expect(kept[0]).toContain("no service for ***"); // query 13, which repeats what it was sent
    delete process.env.SERPER_API_KEY; // a recording needs none
    const replay = await openSearch({ replay: file });
    expect(await measure(replay)).toBe(first);
    expect(first).toContain('"pred_ans":"8"');
    expect(first).toContain("environment-failed");
    await replay.searcher.close();
    process.env.SERPER_API_KEY = canary;
  }
});

test("a budget in money ends asking the web, tries again included, and what was answered stays", async () => {
  process.env.SERPER_API_KEY = canary;
  const budget = { money: 0.01, costPerCall: 0.001 };
  const search = await openSearch({ ...web(await startWebProvider(0.3)), budget, concurrency: 1 });
  const results = await measure(search);
  expect(counts.requests).toBe(10);
  const answered = results.split("\n").filter((line) => line.includes('"scores"')).length;
  expect(answered).toBeGreaterThan(3);
  expect(answered).toBeLessThanOrEqual(10);
  expect(search.refused()).toBe("the search budget is spent: 10 queries at 0.001 each");
  const probed = await search.probe!(new AbortController().signal);
  expect([probed.ok, counts.requests]).toEqual([false, 10]); // looking whether it is back costs as much
  await search.searcher.close();
});

test("of 30 % transient failures few are left", async () => {
  const search = await openSearch({ source: "http", url: await startProvider(0.3) });
  const results = await measure(search);
  expect(results.split("\n").filter((line) => line.includes("environment-failed")).length).toBeLessThan(6);
  await search.searcher.close();
});

test("keys that do not fit are refused before anything is opened", async () => {
  const refused = async (search: Parameters<typeof openSearch>[0]) =>
    openSearch(search).then(
      () => "opened",
      (error: Error) => `${error.name}: ${error.message}`,
    );
  expect(await refused({ source: "http" })).toContain("ConfigError: search.url is missing");
  expect(await refused({ source: "index" })).toContain("search.path is missing");
  expect(await refused({ source: "index", path: "x", url: "http://y" })).toContain("search.url is given");
  expect(await refused({ source: "http", url: "http://x", record: "a", cache: "b" })).toContain("expected one of them");
  delete process.env.SERPER_API_KEY;
  expect(await refused({ source: "web" })).toContain("search.provider is missing");
  expect(await refused({ source: "web", provider: "bing" })).toContain('search.provider is "bing"');
  expect(await refused({ source: "web", provider: "serper" })).toContain("the environment has no SERPER_API_KEY");
  expect(await refused({ source: "web", provider: "searxng" })).toContain("search.url is missing");
  expect(await refused({ source: "web", provider: "wikipedia", url: "ftp://x" })).toContain("is no address");
  expect(await refused({ source: "web", provider: "wikipedia", allowAddresses: ["lo"] })).toContain('has "lo"');
  expect(await refused({ source: "http", url: "http://x", site: "y" })).toContain("search.site is given");
  expect(await refused({ source: "http", url: "http://x", budget: { money: 1 } })).toContain("need each other");
  expect(await refused({ source: "http", url: "http://u:secret@x" })).not.toContain("secret");
  expect(await refused({ source: "http", url: "pgvector://h/d" })).toContain("is asked by vector");
  expect(await refused({ source: "http", url: "qdrant+http://h/d" })).toContain("is asked by vector");
});
