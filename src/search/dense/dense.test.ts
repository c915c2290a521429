import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { HttpError } from "../../base/http/http-error.ts";
import { randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { memorySearcher } from "../bm25/searcher.ts";
import { searcherConformance } from "../conformance.ts";
import { fusedSearcher } from "../hybrid/fused.ts";
import { appendToDenseIndex } from "./append.ts";
import { buildDenseIndex } from "./build.ts";
import type { Encoder } from "./encoder.ts";
import { type DenseOpenOptions, openDenseIndex } from "./open.ts";
import { wordsEncoder } from "./testing/words-encoder.ts";
import { openVectorFile } from "./vector-files.ts";

const folder = mkdtempSync(join(tmpdir(), "dense-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;
const fresh = (ending = "") => join(folder, `${made++}${ending}`);

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

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

const DIMENSION = 48;
const numbered = (count: number): Passage[] =>
  Array.from({ length: count }, (_, i) => ({ id: `p${i}`, title: "", text: String(i) }));

/** Vectors by number: passages and queries are their numbers, as text. */
function vectorsEncoder(rows: readonly Float32Array[]): Encoder {
  const encode = async (texts: readonly string[]) => texts.map((text) => rows[Number(text)]!);
  return { ...wordsEncoder(), dimension: DIMENSION, encodeQueries: encode, encodePassages: encode };
}

function randomRows(count: number, key: string): Float32Array[] {
  const random = randomOf(7, key);
  return Array.from({ length: count }, () => Float32Array.from({ length: DIMENSION }, () => random.normal()));
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

/** As FAISS writes them; `test/parity/make_vector_fixtures.py` has FAISS itself write one. */
function faissFile(rows: readonly Float32Array[], metric: "ip" | "l2"): string {
  const header = Buffer.alloc(45);
  header.write(metric === "ip" ? "IxFI" : "IxF2");
  header.writeInt32LE(DIMENSION, 4);
  header.writeBigInt64LE(BigInt(rows.length), 8);
  header.writeBigInt64LE(1n << 20n, 16);
  header.writeBigInt64LE(1n << 20n, 24);
  header[32] = 1;
  header.writeInt32LE(metric === "ip" ? 0 : 1, 33);
  header.writeBigUInt64LE(BigInt(rows.length * DIMENSION), 37);
  const file = fresh(".faiss");
  writeFileSync(file, Buffer.concat([header, ...rows.map((row) => Buffer.from(row.buffer))]));
  return file;
}

const fixtures = new URL("../../../test/parity/fixtures/vectors/", import.meta.url);
const fixture = (name: string) => new URL(name, fixtures).pathname;

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

test("a file that is cut, of another type or of another kind is refused by name", () => {
  const whole = readFileSync(fixture("flat-ip.faiss"));
  const npy = readFileSync(fixture("queries.npy"));
  const written = (bytes: Uint8Array) => {
    const file = fresh(".bin");
    writeFileSync(file, bytes);
    return file;
  };
  const changed = (bytes: Buffer, change: (copy: Buffer) => void) => {
    const copy = Buffer.from(bytes);
    change(copy);
    return copy;
  };
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from("IxFI"),
    Buffer.from("IxHNSW and more of it, long enough to be a header of some kind"),
    whole.subarray(0, whole.length - 1),
    changed(whole, (copy) => copy.writeInt32LE(-5, 4)),
    changed(whole, (copy) => copy.writeBigInt64LE(2n ** 60n, 8)),
    changed(whole, (copy) => copy.writeInt32LE(7, 33)),
    npy.subarray(0, 11),
    npy.subarray(0, npy.length - 4),
    Buffer.from(npy.toString("latin1").replace("<f4", "<f8"), "latin1"),
  ]) {
    const file = written(bytes);
    expect(() => openVectorFile(file)).toThrow(file);
  }
});

test("an index that was changed, or asked by another encoder, does not open", async () => {
  const directory = fresh();
  await buildDenseIndex(asyncOf(numbered(5)), directory, { encoder: wordsEncoder() });
  await expect(openDenseIndex(directory, { encoder: wordsEncoder(64) })).rejects.toThrow("another encoder");
  for (const name of ["dense.codes", "dense.scales", "dense.sums", "manifest.json"]) {
    const file = join(directory, name);
    const kept = fresh();
    copyFileSync(file, kept);
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(file, bytes);
    await expect(openDenseIndex(directory, { encoder: wordsEncoder() })).rejects.toThrow(directory);
    copyFileSync(kept, file);
  }
  await (await openDenseIndex(directory, { encoder: wordsEncoder() })).close();
});

test("vectors that are not those of the corpus leave no index", async () => {
  const rows = randomRows(4, "few");
  for (const count of [3, 5]) {
    const vectors = openVectorFile(faissFile(rows, "ip"));
    const directory = fresh();
    const building = buildDenseIndex(asyncOf(numbered(count)), directory, { encoder: vectorsEncoder(rows), vectors });
    await expect(building).rejects.toThrow("4 vectors");
    vectors.close();
    await expect(openDenseIndex(directory, { encoder: wordsEncoder() })).rejects.toThrow(directory);
  }
});

/** Counts what it encodes, and is stopped or fails at one of its calls. */
function countingEncoder(failAt = Number.POSITIVE_INFINITY, fail: () => never = neverFails) {
  const inner = wordsEncoder(64);
  const seen = { texts: 0, calls: 0 };
  const encoder: Encoder = {
    ...inner,
    encodePassages: async (texts) => {
      if (++seen.calls === failAt) fail();
      seen.texts += texts.length;
      return inner.encodePassages(texts);
    },
  };
  return { encoder, seen };
}
const neverFails = (): never => {
  throw new Error("not to be called");
};

const many = numbered(300).map((passage) => ({ ...passage, title: `number ${passage.id}` }));
const sumsOf = (directory: string) =>
  (JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8")) as { sums: string }).sums;

async function stoppedBuild(): Promise<string> {
  const directory = fresh();
  const controller = new AbortController();
  const { encoder } = countingEncoder(5, () => {
    controller.abort();
    throw controller.signal.reason;
  });
  const building = buildDenseIndex(asyncOf(many), directory, { encoder, signal: controller.signal });
  await expect(building).rejects.toThrow("the vectors of 128 passages are kept");
  return directory;
}

test("a build that was stopped goes on, encodes nothing twice, and ends with the same bytes", async () => {
  const whole = fresh();
  await buildDenseIndex(asyncOf(many), whole, { encoder: countingEncoder().encoder });
  const directory = await stoppedBuild();
  const anew = buildDenseIndex(asyncOf(many), directory, { encoder: countingEncoder().encoder });
  await expect(anew).rejects.toThrow("holds a build that was stopped");
  const other = buildDenseIndex(asyncOf(many), directory, { encoder: wordsEncoder(32), resume: true });
  await expect(other).rejects.toThrow("another encoder");
  const { encoder, seen } = countingEncoder();
  await buildDenseIndex(asyncOf(many), directory, { encoder, resume: true });
  expect(seen.texts).toBe(300 - 128);
  expect(sumsOf(directory)).toBe(sumsOf(whole));
  expect(readdirSync(directory).sort()).toEqual(readdirSync(whole).sort());
});

test("of vectors that were kept, those of other texts and those that are torn or changed are made again", async () => {
  const changed = many.map((passage, i) => (i === 100 ? { ...passage, text: "another" } : passage));
  const RECORD = 16 + 64 * 4 + 4;
  const cases: [readonly Passage[], (log: Buffer) => Buffer, number][] = [
    [changed, (log) => log, 200],
    [many, (log) => log.subarray(0, log.length - 5), 173],
    [many, (log) => log.subarray(0, 20), 300],
    [many, (log) => log.fill(7, 48 + 10 * RECORD + 30, 48 + 10 * RECORD + 31), 290],
    [many, (log) => Buffer.concat([log, Buffer.alloc(1000)]), 172],
  ];
  for (const [passages, change, again] of cases) {
    const directory = await stoppedBuild();
    const log = `${directory}.building/encoded`;
    writeFileSync(log, change(readFileSync(log)));
    const { encoder, seen } = countingEncoder();
    await buildDenseIndex(asyncOf(passages), directory, { encoder, resume: true });
    expect(seen.texts).toBe(again);
    const whole = fresh();
    await buildDenseIndex(asyncOf(passages), whole, { encoder: countingEncoder().encoder });
    expect(sumsOf(directory)).toBe(sumsOf(whole));
  }
});

test("what the encoder's server did before it failed is kept; another failure leaves nothing", async () => {
  const directory = fresh();
  const away = countingEncoder(3, () => {
    throw new HttpError("status 503", { retryable: true });
  });
  await expect(buildDenseIndex(asyncOf(many), directory, away)).rejects.toMatchObject({
    name: "SearchError",
    message: "the encoder failed (status 503); the vectors of 64 passages are kept",
  });
  const { encoder, seen } = countingEncoder();
  await buildDenseIndex(asyncOf(many), directory, { encoder, resume: true });
  expect(seen.texts).toBe(300 - 64);
  const broken = fresh();
  const bad = countingEncoder(3, () => {
    throw new Error("a defect");
  });
  await expect(buildDenseIndex(asyncOf(many), broken, bad)).rejects.toThrow("a defect");
  expect(existsSync(`${broken}.building`)).toBe(false);
});

test("an index that takes more passages is that of all of them; its own are not encoded again, stopped or not", async () => {
  const [before, more] = [many.slice(0, 100), many.slice(100)];
  const whole = fresh();
  await buildDenseIndex(asyncOf(many), whole, { encoder: countingEncoder().encoder });
  const grown = async () => {
    const directory = fresh();
    await buildDenseIndex(asyncOf(before), directory, { encoder: countingEncoder().encoder });
    return directory;
  };
  const directory = await grown();
  const { encoder, seen } = countingEncoder();
  expect(await appendToDenseIndex(asyncOf(more), directory, { encoder })).toMatchObject({ passages: 300 });
  expect([seen.texts, sumsOf(directory)]).toEqual([200, sumsOf(whole)]);

  const stopped = await grown();
  const controller = new AbortController();
  const ending = countingEncoder(3, () => {
    controller.abort();
    throw controller.signal.reason;
  });
  const adding = appendToDenseIndex(asyncOf(more), stopped, { encoder: ending.encoder, signal: controller.signal });
  await expect(adding).rejects.toMatchObject({ name: "InterruptedError", hint: expect.stringContaining("again") });
  await (await openDenseIndex(stopped, { encoder: wordsEncoder(64) })).close(); // as it was
  const next = countingEncoder();
  await appendToDenseIndex(asyncOf(more), stopped, next);
  expect([ending.seen.texts + next.seen.texts, sumsOf(stopped)]).toEqual([200, sumsOf(whole)]);
  expect(readdirSync(folder).filter((name) => name.includes("appending"))).toEqual([]);

  const other = appendToDenseIndex(asyncOf(more), stopped, { encoder: wordsEncoder(32) });
  await expect(other).rejects.toThrow("another encoder");
});
