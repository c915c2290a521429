/**
 * @file Is the index exact? The top ten of random queries, against BM25 by its formula, however the
 * index is cut and after random additions and merges.
 *   npm run experiment -- search-exact [--corpus <file>] [--passages 20000] [--queries 2000]
 * Prints one line per index and exits 1 where one id or score differs by more than 1e-4 of it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { syntheticPassages } from "../../bench/search/synthetic.ts";
import { programOptions } from "../../scripts/program-options.ts";
import { type Random, randomOf } from "../../src/base/random.ts";
import type { Passage } from "../../src/protocol/passage.ts";
import { analyze } from "../../src/search/analyzer.ts";
import { buildIndex } from "../../src/search/bm25/build.ts";
import { appendToIndex, mergeIndex } from "../../src/search/bm25/grow.ts";
import { openIndex } from "../../src/search/bm25/open.ts";
import { referenceBm25 } from "../../src/search/bm25/testing/reference-bm25.ts";
import { readCorpus } from "../../src/search/corpus.ts";

const LIMIT = 1e-4;
const K = 10;

const help = `Compares the top ten of random queries with BM25 by its formula, however the index is cut into segments and after
random additions and merges. Fails where one id or score differs by more than 1e-4 of the score.

usage: npm run experiment -- search-exact [options]
  --corpus <file>    whose passages are searched (default: synthetic passages)
  --passages <n>     how many of them (default: 20000)
  --queries <n>      how many (default: 2000)
  --help
`;
const { values } = programOptions(help, {
  corpus: { type: "string" },
  passages: { type: "string", default: "20000" },
  queries: { type: "string", default: "2000" },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function firstPassages(count: number): Promise<Passage[]> {
  if (values.corpus === undefined) return [...syntheticPassages(count)];
  const passages: Passage[] = [];
  for await (const passage of readCorpus(values.corpus)) {
    passages.push(passage);
    if (passages.length === count) break;
  }
  return passages;
}

/** Words of one passage or of several, common and rare, some twice, some unknown. */
function randomQuery(random: Random, passages: readonly Passage[]): string {
  const words = Array.from({ length: 1 + random.int(3) }, () => random.pick(passages)).flatMap(({ title, text }) =>
    analyze(`${title} ${text}`),
  );
  const length = 1 + random.int(random.chance(0.05) ? 80 : 8);
  return Array.from({ length }, () => (random.chance(0.02) ? "nosuchword" : random.pick(words))).join(" ");
}

/** An index of the passages, made in one of many ways. */
type Recipe = (passages: readonly Passage[], directory: string) => Promise<void>;

const cut =
  (segmentPassages: number): Recipe =>
  async (passages, directory) => {
    await buildIndex(asyncOf(passages), directory, { segmentPassages });
  };

const grown =
  (seed: number): Recipe =>
  async (passages, directory) => {
    const random = randomOf(seed, "grown");
    let size = 1 + random.int(passages.length / 2);
    await buildIndex(asyncOf(passages.slice(0, size)), directory, { runPassages: 1 + random.int(5000) });
    while (size < passages.length) {
      const more = passages.slice(size, size + 1 + random.int(6000));
      await appendToIndex(asyncOf(more), directory, { runPassages: 100 + random.int(3000) });
      size += more.length;
      if (random.chance(0.4)) await mergeIndex(directory, { segmentPassages: 500 + random.int(20_000) });
    }
  };

const recipes: Readonly<Record<string, Recipe>> = {
  "1 segment": cut(1_000_000),
  "3 segments": cut(7000),
  "40 segments": cut(500),
  "grown, seed 1": grown(1),
  "grown, seed 2": grown(2),
  "grown, seed 3": grown(3),
};

/** @returns the largest relative difference of a score; throws where ids differ */
function compare(
  hits: readonly { id: string; score: number }[],
  expected: readonly { id: string; score: number }[],
): number {
  const ids = (list: readonly { id: string }[]) => list.map(({ id }) => id).join(" ");
  if (ids(hits) !== ids(expected)) throw new Error(`found ${ids(hits)}, expected ${ids(expected)}`);
  return Math.max(0, ...hits.map(({ score }, i) => Math.abs(score - expected[i]!.score) / expected[i]!.score));
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "search-exact-"));
  try {
    const passages = await firstPassages(Number(values.passages));
    const random = randomOf(1, "queries");
    const queries = Array.from({ length: Number(values.queries) }, () => randomQuery(random, passages));
    const reference = referenceBm25(passages);
    const expected = queries.map((query) => reference(query, K));
    for (const [name, recipe] of Object.entries(recipes)) {
      const directory = join(folder, name);
      await recipe(passages, directory);
      const searcher = await openIndex(directory);
      let largest = 0;
      for (const [i, result] of (await searcher.search(queries, { k: K })).entries()) {
        if (!result.ok) throw new Error(result.error.message);
        largest = Math.max(largest, compare(result.hits, expected[i]!));
      }
      await searcher.close();
      say(`${name.padEnd(14)} ${queries.length} queries, ids equal, scores within ${largest.toExponential(1)}`);
      if (largest > LIMIT) process.exitCode = 1;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
