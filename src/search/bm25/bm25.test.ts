import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { readCorpus } from "../corpus.ts";
import type { Hit, Searcher } from "../searcher.ts";
import { buildIndex } from "./build.ts";
import { openIndex } from "./open.ts";
import { rankPassages } from "./rank.ts";
import { memorySearcher } from "./searcher.ts";
import { referenceBm25 } from "./testing/reference-bm25.ts";

const folder = mkdtempSync(join(tmpdir(), "bm25-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let next = 0;

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function onDisk<T>(
  passages: readonly Passage[],
  segmentPassages: number,
  use: (searcher: Searcher) => Promise<T>,
): Promise<T> {
  const directory = join(folder, String(next++));
  await buildIndex(asyncOf(passages), directory, { segmentPassages });
  const searcher = await openIndex(directory);
  try {
    return await use(searcher);
  } finally {
    await searcher.close();
    rmSync(directory, { recursive: true });
  }
}

async function hitsOf(searcher: Searcher, queries: readonly string[], k: number): Promise<readonly Hit[][]> {
  return (await searcher.search(queries, { k })).map((result) =>
    result.ok ? [...result.hits] : expect.fail(result.error.message),
  );
}

/** Words are drawn with falling frequency, so that lists of one and of many blocks occur, and many scores tie. */
function randomCorpus(seed: number, size: number): { passages: Passage[]; queries: string[] } {
  const random = randomOf(seed, "bm25-test");
  const words = 1 + random.int(60);
  const odd = ["東京", "𝔘nicode", "\uff21b", "ﬁ", "𐐷x", "\ue000", "é"];
  const word = () => {
    const rank = Math.floor(words ** random.next()) - 1;
    return rank < odd.length && random.chance(0.1) ? odd[rank]! : `w${rank}`;
  };
  const text = (most: number) => Array.from({ length: random.int(most + 1) }, word).join(" ");
  const passages = Array.from({ length: size }, (_, i) => ({
    id: `p${(i * 7919) % size}-${i}`,
    title: text(2),
    text: text(random.chance(0.05) ? 80 : 8),
  }));
  const queries = Array.from({ length: 12 }, () => text(6));
  return { passages, queries: [...queries, Array.from({ length: 60 }, (_, i) => `w${i}`).join(" ")] };
}

const cases = fc.record({
  seed: fc.integer(),
  size: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 200, max: 1500 })),
  cut: fc.double({ min: 0.17, max: 1, noNaN: true }),
  k: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(5000)),
});

test("in memory, every query gives the passages and scores of the formula", () => {
  fc.assert(
    fc.property(cases, ({ seed, size, k }) => {
      const { passages, queries } = randomCorpus(seed, size);
      const [rank, reference] = [rankPassages(passages), referenceBm25(passages)];
      for (const query of queries) {
        expect(rank(query, k).map(({ id, score }) => ({ id, score }))).toEqual(reference(query, k));
      }
    }),
    { numRuns: 25 },
  );
});

test("on disk, pruned and cut into any segments, hits and scores equal those in memory bit for bit", async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ seed, size, cut, k }) => {
      const { passages, queries } = randomCorpus(seed, size);
      const rank = rankPassages(passages);
      const expected = queries.map((query) => rank(query, k));
      const segments = Math.max(1, Math.ceil(size * cut));
      expect(await onDisk(passages, segments, (searcher) => hitsOf(searcher, queries, k))).toEqual(expected);
    }),
    { numRuns: 16 },
  );
});

test("equal corpora have equal hashes wherever they are kept, other corpora or parameters have others", async () => {
  const { passages } = randomCorpus(5, 30);
  const hash = memorySearcher(passages).info().hash;
  for (const size of [30, 7]) expect(await onDisk(passages, size, async (searcher) => searcher.info().hash)).toBe(hash);
  expect(memorySearcher(passages.toReversed()).info().hash).not.toBe(hash);
  expect(memorySearcher(passages, { k1: 1.2 }).info().hash).not.toBe(hash);
});

test("k1 and b can be changed when an index is opened", async () => {
  const { passages, queries } = randomCorpus(6, 300);
  const directory = join(folder, "parameters");
  await buildIndex(asyncOf(passages), directory);
  const searcher = await openIndex(directory, { k1: 1.2, b: 0.75 });
  const rank = rankPassages(passages, { k1: 1.2, b: 0.75 });
  expect(await hitsOf(searcher, queries, 5)).toEqual(queries.map((query) => rank(query, 5)));
  await searcher.close();
});

test("parameters out of range are refused", () => {
  expect(() => rankPassages([], { k1: -1 })).toThrow(/k1 is -1/);
  expect(() => rankPassages([], { b: 1.5 })).toThrow(/b is 1.5/);
});

test("memory ranks nothing in an empty corpus", () => {
  expect(rankPassages([])("anything", 3)).toEqual([]);
});

test("the same corpus gives byte-identical files", async () => {
  const { passages } = randomCorpus(8, 400);
  const names = ["same-a", "same-b"];
  for (const name of names) await buildIndex(asyncOf(passages), join(folder, name), { segmentPassages: 150 });
  const [a, b] = names.map((name) =>
    readdirSync(join(folder, name)).map((file) => [file, readFileSync(join(folder, name, file)).toString("base64")]),
  );
  expect(a).toEqual(b);
  expect(a!.length).toBe(3 * 6 + 1);
});

test("a passage that is first or last in a block is found when everything before it was skipped", async () => {
  const places = [1, 126, 127, 128, 129, 254, 255, 256, 257, 383, 384, 511, 512, 598, 599];
  const words = (at: number) =>
    places.map((place, j) => (at === place ? `c${j} c${j} c${j}` : at === 0 ? `c${j} c${j}` : `c${j}`));
  const passages = Array.from({ length: 600 }, (_, at) => ({ id: String(at), title: "", text: words(at).join(" ") }));
  const directory = join(folder, "places");
  await buildIndex(asyncOf(passages), directory);
  const searcher = await openIndex(directory, { b: 0 });
  const hits = await hitsOf(
    searcher,
    places.map((_, j) => `c${j}`),
    1,
  );
  expect(hits.map(([hit]) => hit?.id)).toEqual(places.map(String));
  await searcher.close();
});

const data = "../shared/data";
const isMissing = !existsSync(data);
if (isMissing) process.stderr.write(`SKIPPED: real corpora are not at ${data}\n`);

test.skipIf(isMissing)("23,349 real passages: the top ten of 200 real questions equal the formula's", async () => {
  const directory = join(folder, "real");
  const corpus = `${data}/answerable/corpus.jsonl`;
  const report = await buildIndex(readCorpus(corpus), directory, { segmentPassages: 9000 });
  expect(report.passages).toBe(23_349);
  const searcher = await openIndex(directory);
  const rows = readFileSync(`${data}/answerable/train.jsonl`, "utf8").trim().split("\n").slice(0, 200);
  const queries = rows.map((row) => (JSON.parse(row) as { question: string }).question);
  const passages: Passage[] = [];
  for await (const passage of readCorpus(corpus)) passages.push(passage);
  const reference = referenceBm25(passages);
  const milliseconds: number[] = [];
  for (const query of queries) {
    const start = performance.now();
    const [result] = await searcher.search([query], { k: 10 });
    milliseconds.push(performance.now() - start);
    const hits = result?.ok ? result.hits : expect.fail("the query failed");
    expect(hits.map(({ id, score }) => ({ id, score }))).toEqual(reference(query, 10));
  }
  await searcher.close();
  const median = milliseconds.sort((a, b) => a - b)[100]!;
  process.stderr.write(
    `index: ${report.seconds.toFixed(2)} s, ${report.bytes} bytes; query ${median.toFixed(2)} ms (median)\n`,
  );
});
