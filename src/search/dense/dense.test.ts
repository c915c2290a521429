import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Passage } from "../../protocol/passage.ts";
import { memorySearcher } from "../bm25/searcher.ts";
import { searcherConformance } from "../conformance.ts";
import { fusedSearcher } from "../hybrid/fused.ts";
import { buildDenseIndex } from "./build.ts";
import type { Encoder } from "./encoder.ts";
import { type DenseOpenOptions, openDenseIndex } from "./open.ts";
import { asyncOf, faissBytes, fixture, numbered, randomRows, vectorsEncoder } from "./testing/vectors.ts";
import { wordsEncoder } from "./testing/words-encoder.ts";
import { openVectorFile } from "./vector-files.ts";

const folder = mkdtempSync(join(tmpdir(), "dense-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;
const fresh = (ending = "") => join(folder, `${made++}${ending}`);

async function indexed(passages: readonly Passage[], scan: DenseOpenOptions["scan"] = "int8") {
  const directory = fresh();
  await buildDenseIndex(asyncOf(passages), directory, { encoder: wordsEncoder() });
  return openDenseIndex(directory, { encoder: wordsEncoder(), ...(scan ? { scan } : {}) });
}

const checks = [
  ...searcherConformance("dense, int8", (passages) => indexed(passages), { ranksAll: true }),
  ...searcherConformance("dense, bits", (passages) => indexed(passages, "bits"), { ranksAll: true }),
  ...searcherConformance(
    "hybrid",
    async (passages) => fusedSearcher([memorySearcher(passages), await indexed(passages)]),
    { ranksAll: true },
  ),
];
for (const { name, run } of checks) test(name, run);

function faissFile(...given: Parameters<typeof faissBytes>): string {
  const file = fresh(".faiss");
  writeFileSync(file, faissBytes(...given));
  return file;
}

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const distance = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0);

test.each(["ip", "l2"] as const)("a scan by int8 finds what floats find (%s)", async (metric) => {
  const rows = randomRows(3000, "rows");
  const vectors = openVectorFile(faissFile(rows, metric));
  const directory = fresh();
  const encoder = vectorsEncoder(rows);
  await buildDenseIndex(asyncOf(numbered(rows.length)), directory, { encoder, vectors });
  vectors.close();
  const searcher = await openDenseIndex(directory, { encoder, scan: "int8" });
  const queries = Array.from({ length: 70 }, (_, i) => String(i * 17));
  const results = await searcher.search(queries, { k: 10 });
  await searcher.close();
  let same = 0;
  results.forEach((result, i) => {
    if (!result.ok) throw new Error(result.error.message);
    const query = rows[i * 17]!;
    const score = (row: Float32Array) => (metric === "ip" ? dot(query, row) : -distance(query, row));
    const best = rows
      .map((row, at) => ({ id: `p${at}`, score: score(row) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, 10);
    same += result.hits.filter(({ id }) => best.some((one) => one.id === id)).length;
    expect(result.hits[0]!.id).toBe(best[0]!.id);
    expect(result.hits[0]!.score).toBeCloseTo(best[0]!.score, 3);
  });
  expect(same / 700).toBeGreaterThanOrEqual(0.99);
});

test.each([
  ["ip", "flat-ip.faiss"],
  ["l2", "flat-l2.faiss"],
])("a file that FAISS wrote gives FAISS's top 10 (%s)", async (metric, name) => {
  const file = openVectorFile(fixture(name));
  const rows = [...file.rows()];
  expect(file.metric).toBe(metric);
  const queries = openVectorFile(fixture("queries.npy"));
  const asked = [...queries.rows()];
  queries.close();
  const encoder: Encoder = {
    ...wordsEncoder(),
    dimension: file.dimension,
    encodeQueries: async (texts) => texts.map((text) => asked[Number(text)]!),
  };
  const directory = fresh();
  await buildDenseIndex(asyncOf(numbered(rows.length)), directory, { encoder, vectors: file });
  file.close();
  const searcher = await openDenseIndex(directory, { encoder });
  const results = await searcher.search(
    asked.map((_, i) => String(i)),
    { k: 10 },
  );
  await searcher.close();
  const expected = JSON.parse(readFileSync(fixture("top10.json"), "utf8")) as Record<string, number[][]>;
  const ids = results.map((result) => (result.ok ? result.hits.map(({ id }) => Number(id.slice(1))) : []));
  expect(ids).toEqual(expected[metric]);
});
