import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Passage } from "../protocol/passage.ts";
import { buildIndex } from "./bm25/build.ts";
import { openIndex } from "./bm25/open.ts";
import { referenceBm25 } from "./bm25/reference-bm25.ts";
import { readCorpus } from "./corpus.ts";

const data = "../shared/data";
const isMissing = !existsSync(data);
if (isMissing) process.stderr.write(`SKIPPED: real corpora are not at ${data}\n`);

const linesOf = (file: string) => readFileSync(`${data}/${file}`, "utf8").trim().split("\n");
const questionsOf = (file: string) => linesOf(file).map((line) => (JSON.parse(line) as { question: string }).question);

async function passagesOf(file: string): Promise<Passage[]> {
  const passages: Passage[] = [];
  for await (const passage of readCorpus(`${data}/${file}`)) passages.push(passage);
  return passages;
}

test.skipIf(isMissing)("23,349 real passages: the top ten of 200 real questions equal the formula's", async () => {
  const directory = join(mkdtempSync(join(tmpdir(), "real-")), "index");
  const corpus = `${data}/answerable/corpus.jsonl`;
  const report = await buildIndex(readCorpus(corpus), directory, { segmentPassages: 9000 });
  expect(report.passages).toBe(23_349);
  const searcher = await openIndex(directory);
  const queries = questionsOf("answerable/train.jsonl").slice(0, 200);
  const reference = referenceBm25(await passagesOf("answerable/corpus.jsonl"));
  const milliseconds: number[] = [];
  for (const query of queries) {
    const start = performance.now();
    const [result] = await searcher.search([query], { k: 10 });
    milliseconds.push(performance.now() - start);
    const hits = result?.ok ? result.hits : expect.fail("the query failed");
    expect(hits.map(({ id, score }) => ({ id, score }))).toEqual(reference(query, 10));
  }
  await searcher.close();
  rmSync(directory, { recursive: true });
  const median = milliseconds.sort((a, b) => a - b)[100]!;
  process.stderr.write(
    `index: ${report.seconds.toFixed(2)} s, ${report.bytes} bytes; query ${median.toFixed(2)} ms (median)\n`,
  );
});

test.skipIf(isMissing)("every real corpus file is read whole", async () => {
  const sizes = {
    "passages/wikipedia-sample.tsv": 14_372,
    "multihop/2wikimultihopqa_corpus.json": 6119,
    "multihop/hotpotqa_train_corpus.json": 994,
    "multihop/musique_train_corpus.json": (
      JSON.parse(readFileSync(`${data}/multihop/musique_train_corpus.json`, "utf8")) as unknown[]
    ).length,
  };
  for (const [file, size] of Object.entries(sizes)) {
    const passages = await passagesOf(file);
    expect(passages.length, file).toBe(size);
    expect(
      passages.every(({ title, text }) => title !== "" && text !== ""),
      file,
    ).toBe(true);
  }
});
