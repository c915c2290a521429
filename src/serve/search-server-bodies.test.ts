/** @file Bodies that are small to send and costly to parse or to validate: other requests must not wait for them. */
import { afterEach, expect, test } from "vitest";
import { memorySearcher } from "../search/bm25/searcher.ts";
import type { Reranker } from "../search/rerank/reranker.ts";
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

const reranker: Reranker = {
  identity: { source: "letters", fingerprint: "0123456789abcdef0123" },
  score: async (_, texts) => texts.map((text) => text.length),
  close: async () => {},
};
const repeated = (item: string, count: number) => `[${Array.from({ length: count }, () => item).join()}]`;
const documentsOf = (lists: string) => `{"queries":["a"],"documents":${lists}}`;

/** Status, message, and processor milliseconds of this process, which is client and server. */
async function asked(url: string, body: string) {
  const before = process.cpuUsage();
  const reply = await post(url, body);
  const text = await reply.text();
  const { user, system } = process.cpuUsage(before);
  return { status: reply.status, text, cpuMs: (user + system) / 1000 };
}

test("POST /rerank with a million documents is refused at once, with a reranker and without one", async () => {
  const bodies = [
    documentsOf(`[${repeated("{}", 1_000_000)}]`),
    documentsOf(`[${repeated("0", 2_000_000)}]`),
    documentsOf(repeated("[]", 1_000_000)),
    documentsOf(`[${repeated('{"text":""}', 300_000)}]`),
  ];
  const url = await start({ reranker });
  for (const body of bodies) {
    const { status, text, cpuMs } = await asked(`${url}/rerank`, body);
    expect([status, text.length < 500]).toEqual([400, true]);
    expect(cpuMs).toBeLessThan(1_500); // was 20,000
  }
  await server!.close();
  const bare = await start();
  for (const body of bodies) expect((await asked(`${bare}/rerank`, body)).status).toBe(400);
});

test("4,096 wrong documents are one complaint, and 5,000 right ones are too many", async () => {
  const url = await start({ reranker });
  const wrong = await asked(`${url}/rerank`, documentsOf(`[${repeated("{}", 4096)}]`));
  expect(wrong).toMatchObject({ status: 400, text: expect.stringContaining("documents.0.0") });
  const many = await asked(`${url}/rerank`, documentsOf(`[${repeated('{"text":"x"}', 5000)}]`));
  expect(many).toMatchObject({ status: 400, text: expect.stringContaining("at most 4096 documents") });
  expect((await asked(`${url}/rerank`, documentsOf(`[${repeated('{"text":"x"}', 4096)}]`))).status).toBe(200);
});

test("no route lets a body of millions of values hold the server up, and complaints stay short", async () => {
  const url = await start({ reranker });
  for (const [path, key] of [
    ["queries", "queries"],
    ["retrieve", "queries"],
    ["batch_search", "query"],
    ["search", "query"],
  ]) {
    const big = `{"${key}":${repeated("{}", 1_300_000)}}`;
    const wrong = `{"${key}":${repeated("1", 4096)}}`;
    for (const body of [big, wrong]) {
      const { status, text } = await asked(`${url}/${path}`, body);
      expect([path, status, text.length < 1000]).toEqual([path, 400, true]);
    }
  }
  expect((await asked(`${url}/queries`, '{"queries":["a, [b], {c}, \\"d\\""]}')).status).toBe(200);
});
