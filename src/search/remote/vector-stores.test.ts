/** @file OpenSearch and Qdrant against exchanges written after their documentation; no real server was asked. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { jsonClient } from "../../base/http/json-client.ts";
import { openAiEmbeddings } from "./embeddings.ts";
import { openOpenSearch } from "./opensearch.ts";
import { openQdrant } from "./qdrant.ts";

interface Exchange {
  /** Method and path. */
  readonly asks: string;
  /** The body, read as JSON, or as a list where it is JSON lines. */
  readonly sends?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status?: number;
  readonly gets: unknown;
}

let server: Server | undefined;
const unexpected: unknown[] = [];
afterEach(() => {
  server?.close();
  server?.closeAllConnections();
  expect(unexpected.splice(0)).toEqual([]);
});

/** Plays the exchanges, in order, and notes what does not fit. */
async function playing(exchanges: readonly Exchange[]): Promise<string> {
  const rest = [...exchanges];
  server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const isLines = request.headers["content-type"] === "application/x-ndjson";
    const sent =
      text === ""
        ? undefined
        : isLines
          ? text
              .trimEnd()
              .split("\n")
              .map((line) => JSON.parse(line))
          : JSON.parse(text);
    const { asks, sends, headers = {}, status = 200, gets } = rest.shift() ?? { asks: "nothing more", gets: {} };
    const asked = `${request.method} ${request.url}`;
    try {
      expect(asked).toBe(asks);
      expect(sent).toEqual(sends);
      expect(request.headers).toMatchObject(headers);
    } catch (cause) {
      unexpected.push(cause);
    }
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(gets));
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const search = (query: string) => ({
  size: 2,
  _source: ["title", "text"],
  query: { multi_match: { query, fields: ["title", "text"], type: "cross_fields", operator: "or" } },
  sort: ["_score", { _id: "asc" }],
  track_scores: true,
});

test("OpenSearch: one _msearch for many queries; one that fails does not fail the others", async () => {
  const source = { title: "Bob", text: "baked bread" };
  const url = await playing([
    { asks: "GET /wiki/_count", headers: { authorization: "Basic eA==" }, gets: { count: 2, _shards: { total: 1 } } },
    { asks: "GET /wiki/_settings", gets: { wiki: { settings: { index: { uuid: "u1", number_of_shards: "1" } } } } },
    {
      asks: "POST /wiki/_msearch",
      sends: [
        {},
        search("bread"),
        {},
        search("bad"),
        {},
        search("busy"),
        {},
        search("zzz"),
        {},
        search("slow"),
        {},
        search("half"),
      ],
      gets: {
        took: 3,
        responses: [
          {
            took: 1,
            timed_out: false,
            hits: { total: { value: 1 }, hits: [{ _index: "wiki", _id: "2", _score: 1.5, _source: source }] },
            status: 200,
          },
          { error: { type: "parsing_exception", reason: "no such thing" }, status: 400 },
          { error: { type: "rejected_execution_exception", reason: "queue full" }, status: 429 },
          { hits: { hits: [] }, status: 200 },
          { timed_out: true, _shards: { total: 2, failed: 0 }, hits: { hits: [] }, status: 200 },
          { timed_out: false, _shards: { total: 2, failed: 1 }, hits: { hits: [] }, status: 200 },
        ],
      },
    },
  ]);
  const searcher = await openOpenSearch({
    client: jsonClient(),
    url: `${url}/wiki`,
    headers: { authorization: "Basic eA==" },
  });
  expect(searcher.info()).toMatchObject({ kind: "opensearch", passages: 2, hash: "u1:2" });
  expect(await searcher.search(["bread", "bad", "busy", "zzz", "slow", "half"], { k: 2 })).toEqual([
    { ok: true, hits: [{ id: "2", ...source, score: 1.5, rank: 1 }] },
    { ok: false, error: { message: "OpenSearch: no such thing", retryable: false } },
    { ok: false, error: { message: "OpenSearch: queue full", retryable: true } },
    { ok: true, hits: [] },
    { ok: false, error: { message: "OpenSearch: it ran out of time", retryable: true } },
    { ok: false, error: { message: "OpenSearch: 1 shards failed", retryable: true } },
  ]);
  await searcher.close();
});

test("Qdrant: vectors from /v1/embeddings, then one batch of queries", async () => {
  const payload = { id: "2", title: "Bob", text: "baked bread" };
  const query = (vector: number[]) => ({ query: vector, limit: 2, with_payload: ["id", "title", "text"] });
  const url = await playing([
    {
      asks: "POST /collections/wiki/points/count",
      sends: { exact: true },
      headers: { "api-key": "k" },
      gets: { result: { count: 2 }, status: "ok" },
    },
    {
      asks: "POST /v1/embeddings",
      sends: { model: "bge", input: ["query: bread", "query: zzz"], encoding_format: "float" },
      headers: { authorization: "Bearer e" },
      gets: {
        object: "list",
        data: [
          { index: 1, embedding: [0, 1] },
          { index: 0, embedding: [1, 0] },
        ],
      },
    },
    {
      asks: "POST /collections/wiki/points/query/batch",
      sends: { searches: [query([1, 0]), query([0, 1])] },
      gets: {
        result: [{ points: [{ id: 17, version: 3, score: 0.9, payload }] }, { points: [] }],
        status: "ok",
        time: 0.001,
      },
    },
  ]);
  const client = jsonClient();
  const encode = openAiEmbeddings({ client, url: `${url}/v1/`, model: "bge", prefix: "query: ", key: "e" });
  const searcher = await openQdrant({ client, url, collection: "wiki", encode, headers: { "api-key": "k" } });
  expect(searcher.info()).toMatchObject({ kind: "qdrant", passages: 2 });
  expect(await searcher.search(["bread", "zzz"], { k: 2 })).toEqual([
    { ok: true, hits: [{ ...payload, score: 0.9, rank: 1 }] },
    { ok: true, hits: [] },
  ]);
  await searcher.close();
});

test("an encoder that gives too few vectors fails the queries", async () => {
  const url = await playing([
    { asks: "POST /collections/wiki/points/count", sends: { exact: true }, gets: { result: { count: 0 } } },
    {
      asks: "POST /v1/embeddings",
      sends: { model: "m", input: ["a", "b"], encoding_format: "float" },
      gets: { data: [{ index: 0, embedding: [1] }] },
    },
  ]);
  const client = jsonClient();
  const encode = openAiEmbeddings({ client, url: `${url}/v1`, model: "m" });
  const searcher = await openQdrant({ client, url, collection: "wiki", encode });
  const results = await searcher.search(["a", "b"], { k: 1 });
  expect(results).toMatchObject([{ ok: false }, { ok: false, error: { retryable: false } }]);
  expect(JSON.stringify(results)).toContain("no vector for query 2 of 2");
  await searcher.close();
});
