/**
 * @file Does the index find what bm25s finds, from the same words with the same parameters?
 *   PYTHON=python3 npm run experiment -- parity:search [--corpus <file>] [--queries 1000]
 * The Python needs the package bm25s. Queries are words of random passages. Prints how many of the top ten are the same
 * and exits 1 below 99.5 %.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { syntheticPassages } from "../../bench/search/synthetic.ts";
import { programOptions } from "../../scripts/program-options.ts";
import { randomOf } from "../../src/base/random.ts";
import type { Passage } from "../../src/protocol/passage.ts";
import { analyze } from "../../src/search/analyzer.ts";
import { buildIndex } from "../../src/search/bm25/build.ts";
import { openIndex } from "../../src/search/bm25/open.ts";
import { readCorpus } from "../../src/search/corpus.ts";

const LEAST = 0.995;
const given = { k1: 0.9, b: 0.4, k: 10 };

const help = `Compares what the index finds with what bm25s finds from the same words with the same parameters. Fails where
less than 99.5 % of the top ten are the same. The variable PYTHON names a Python that has bm25s (default: python3).

usage: npm run experiment -- parity:search [options]
  --corpus <file>     whose passages are searched (default: 20,000 synthetic passages)
  --queries <n>       made of words of random passages (default: 1000)
  --help
`;
const { values } = programOptions(help, {
  corpus: { type: "string" },
  queries: { type: "string", default: "1000" },
});

type Found = readonly (readonly [passage: number, score: number])[];

function askBm25s(passages: readonly string[][], queries: readonly string[][]): Found[] {
  const script = fileURLToPath(new URL("search_bm25s.py", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.env["PYTHON"] ?? "python3", [script], {
    input: JSON.stringify({ passages, queries, ...given }),
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return JSON.parse(stdout) as Found[];
}

async function askIndex(passages: readonly Passage[], queries: readonly string[]): Promise<Found[]> {
  const folder = mkdtempSync(join(tmpdir(), "compare-search-"));
  try {
    async function* corpus(): AsyncGenerator<Passage> {
      for (const [i, passage] of passages.entries()) yield { ...passage, id: String(i) };
    }
    await buildIndex(corpus(), join(folder, "index"), given);
    const searcher = await openIndex(join(folder, "index"));
    const results = await searcher.search(queries, { k: given.k });
    await searcher.close();
    return results.map((result) => {
      if (!result.ok) throw new Error(result.error.message);
      return result.hits.map(({ id, score }) => [Number(id), score] as const);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const passages: Passage[] = values.corpus === undefined ? [...syntheticPassages(20_000)] : [];
  if (values.corpus !== undefined) for await (const passage of readCorpus(values.corpus)) passages.push(passage);
  const random = randomOf(1, "compare-search");
  const texts = passages.map(({ title, text }) => analyze(`${title} ${text}`));
  const queries = Array.from({ length: Number(values.queries) }, () => {
    const words = random.pick(texts);
    return Array.from({ length: 2 + random.int(7) }, () => random.pick(words)).join(" ");
  });
  const [ours, theirs] = [await askIndex(passages, queries), askBm25s(texts, queries.map(analyze))];
  let same = 0;
  let expected = 0;
  let largest = 0;
  for (const [i, found] of theirs.entries()) {
    const scores = new Map(ours[i]);
    expected += found.length;
    for (const [passage, score] of found) {
      const own = scores.get(passage);
      if (own === undefined) continue;
      same++;
      largest = Math.max(largest, Math.abs(own - score) / own);
    }
  }
  const share = same / expected;
  process.stdout.write(
    `${queries.length} queries over ${passages.length} passages: ${(100 * share).toFixed(3)} % of the top ten the same, ` +
      `scores within ${largest.toExponential(1)}\n`,
  );
  if (share < LEAST) process.exitCode = 1;
}

await main();
