/** @file Against a real PostgreSQL with a real pgvector: PGlite, the server compiled to WebAssembly, behind a socket. */
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uniform } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { analyze } from "../analyzer.ts";
import { searcherConformance } from "../conformance.ts";
import type { EncodeQueries } from "./embeddings.ts";
import { openPostgres } from "./postgres.ts";

let database: PGlite;
let server: PGLiteSocketServer;
let url = "";
beforeAll(async () => {
  database = await PGlite.create({ extensions: { vector } });
  await database.exec("create extension vector");
  server = new PGLiteSocketServer({ db: database, host: "127.0.0.1", port: 0, maxConnections: 8 });
  await server.start();
  url = `postgresql://postgres@${server.getServerConn()}/postgres`;
});
afterAll(async () => {
  await server?.stop();
  await database?.close();
});

const dimensions = 256;

/** A toy encoder: each word has a place, so texts are close that share words, and orthogonal otherwise. */
const vectorOf = (text: string): number[] => {
  const made: number[] = Array.from({ length: dimensions }, () => 0);
  for (const word of analyze(text)) made[Math.floor(dimensions * uniform(["place", word]))]! += 1;
  if (Math.max(...made) === 0) made[dimensions - 1] = 1; // a vector of length 0 has no angle
  return made;
};
const encode: EncodeQueries = async (queries) => queries.map(vectorOf);

/** PostgreSQL's text holds neither NUL nor half of a surrogate pair. */
const stored = (text: string) => text.toWellFormed().replaceAll("\u0000", " ");

let tables = 0;
async function tableOf(passages: readonly Passage[]): Promise<string> {
  const table = `passages_${tables++}`;
  await database.exec(
    `create table ${table} (position bigint primary key, id text, title text, text text, embedding vector(${dimensions}))`,
  );
  for (const [position, { id, title, text }] of passages.entries()) {
    const embedding = `[${vectorOf(`${title} ${text}`).join()}]`;
    await database.query(`insert into ${table} values ($1, $2, $3, $4, $5)`, [
      position,
      id,
      title,
      stored(text),
      embedding,
    ]);
  }
  return table;
}

const checks = searcherConformance(
  "pgvector",
  async (passages) =>
    openPostgres({ url, table: await tableOf(passages), encode, leastSimilarity: 0.01, connections: 1 }),
  { stored },
);
describe("by vector, as every searcher", () => {
  for (const { name, run } of checks) test(name, run);
});

const passages: readonly Passage[] = [
  { id: "a", title: "Ada Quill", text: "mapped the northern glacier" },
  { id: "b", title: "Bob", text: "baked bread near the glacier; the glacier melted" },
  { id: "c", title: "Bob", text: "baked bread near the glacier; the glacier melted" },
];

test("by words: any word counts, ties in the order of the table, hostile queries find nothing worse", async () => {
  const searcher = await openPostgres({ url, table: await tableOf(passages), connections: 1 });
  const results = await searcher.search(["GLACIER zebra", "quill", "zebra", "'; drop table x; -- & | ! <->", "%"], {
    k: 5,
  });
  const ids = results.map((result) => (result.ok ? result.hits.map(({ id }) => id) : result.error.message));
  expect(ids).toEqual([["b", "c", "a"], ["a"], [], [], []]);
  expect(searcher.info()).toMatchObject({ kind: "postgresql", passages: 3, settings: { by: "words" } });
  await searcher.close();
});

test("the nearest by an HNSW index of pgvector are the exact ones here", async () => {
  const table = await tableOf(passages);
  await database.exec(`create index on ${table} using hnsw (embedding vector_cosine_ops)`);
  const searcher = await openPostgres({ url, table, encode, connections: 1 });
  const [result] = await searcher.search(["ada quill"], { k: 1 });
  expect(result).toMatchObject({ ok: true, hits: [{ id: "a", rank: 1 }] });
  await searcher.close();
});

test("a missing table or column is said when it opens, and a table that goes away fails queries", async () => {
  await expect(openPostgres({ url, table: "nowhere", connections: 1 })).rejects.toThrow(/nowhere.*does not exist/);
  await database.exec("create table bare (position bigint, id text, title text, text text)");
  await expect(openPostgres({ url, table: "bare", encode, connections: 1 })).rejects.toMatchObject({
    name: "SearchError",
    hint: expect.stringContaining("embedding"),
  });
  const table = await tableOf(passages);
  const searcher = await openPostgres({ url, table, encode, connections: 1 });
  await database.exec(`drop table ${table}`);
  expect(await searcher.search(["x"], { k: 1 })).toMatchObject([{ ok: false, error: { retryable: false } }]);
  await searcher.close();
});

test("the driver really speaks to this server", async () => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ version: string }>(
    "select extversion as version from pg_extension where extname = 'vector'",
  );
  expect(rows[0]!.version).toMatch(/^0\.\d+\.\d+$/);
  await client.end();
});
