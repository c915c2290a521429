/**
 * @file Recall of gold paragraphs by words, by vectors and by both, and by bm25s, over the HotpotQA and MuSiQue files of a
 * folder; writes the table into docs/results.md.
 *
 *   npm run experiment -- recall --data DIR --encoder DIR [--python python-with-bm25s] [--write docs/results.md] [--work DIR]
 *
 * Encoding takes minutes of a core. With --work the indexes stay there, and a run that was stopped goes on.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { programOptions, refuse } from "../../scripts/program-options.ts";
import { ConfigError } from "../../src/base/errors.ts";
import { checkMarked, writeMarked } from "../../src/base/marked-page.ts";
import { readSearchQuestions } from "../../src/data/benchmarks/search-questions.ts";
import type { Passage } from "../../src/protocol/passage.ts";
import { passagesOf, runDenseBuild, runIndexBuild } from "../../src/run/search/run-index-build.ts";
import { runIndexCheck } from "../../src/run/search/run-index-check.ts";
import { DEEPEST, isSearchable, searchHealth } from "../../src/run/search/search-health.ts";
import { defaultAnalyzer } from "../../src/search/analyzer.ts";
import { searchable } from "../../src/search/bm25/rank.ts";
import { bm25Parameters } from "../../src/search/bm25/score.ts";
import type { Hit } from "../../src/search/searcher.ts";

const sets = [
  { name: "HotpotQA", questions: "hotpotqa_train.json", corpus: "hotpotqa_train_corpus.json" },
  { name: "MuSiQue", questions: "musique_train.json", corpus: "musique_train_corpus.json" },
];
const depths = ["2", "5", "10"];

const help = `Recall of gold paragraphs by words, by vectors and by both, over the HotpotQA and MuSiQue files of a folder.

usage: npm run experiment -- recall --data DIR --encoder DIR [options]
  --data <dir>           hotpotqa_train.json, musique_train.json, and beside each its corpus, *_corpus.json
  --encoder <dir>        makes the vectors: a Hugging Face folder with an ONNX file
  --encoder-name <text>  for the table (default: the folder's name)
  --python <program>     has bm25s, and is measured too
  --write <page>         puts the table between the marks of this page
  --work <dir>           keeps the indexes, so that a run that was stopped continues
  --help
`;
const { values } = programOptions(help, {
  data: { type: "string" },
  encoder: { type: "string" },
  "encoder-name": { type: "string" },
  python: { type: "string" },
  write: { type: "string" },
  work: { type: "string" },
});
const given = { data: values.data, encoder: values.encoder };
for (const [name, value] of Object.entries(given))
  if (value === undefined) refuse(new ConfigError(`--${name} is missing`, { hint: "--help says what it names" }));
const { data, encoder } = given as { data: string; encoder: string };
if (values.write !== undefined) checkMarked(values.write, "recall");

interface Row {
  readonly set: string;
  readonly how: string;
  readonly n: number;
  readonly recall: Readonly<Record<string, number>>;
}

const folder = values.work ?? mkdtempSync(join(tmpdir(), "recall-"));
const rows: Row[] = [];
try {
  for (const { name, questions, corpus } of sets) {
    const file = join(data, questions);
    const both = join(folder, name);
    mkdirSync(both, { recursive: true });
    const [words, vectors] = [join(both, "bm25"), join(both, "dense")];
    if (!existsSync(words)) await runIndexBuild(join(data, corpus), words, { resume: true });
    if (!existsSync(vectors)) await runDenseBuild(join(data, corpus), vectors, { encoder, resume: true });
    for (const [how, directory] of Object.entries({
      BM25: words,
      dense: vectors,
      hybrid: both,
    })) {
      const { n, recall } = await runIndexCheck(directory, file);
      rows.push({ set: name, how, n, recall });
    }
    if (values.python !== undefined) rows.push(await peer(values.python, name, join(data, corpus), file));
  }
} finally {
  if (values.work === undefined) rmSync(folder, { recursive: true, force: true });
}

/** bm25s over the same texts and words with the same k1 and b; its hits are judged as ours are. */
async function peer(python: string, name: string, corpus: string, file: string): Promise<Row> {
  const passages: Passage[] = [];
  for await (const passage of passagesOf(corpus)) passages.push(passage);
  const questions = (await readSearchQuestions(file)).filter(isSearchable);
  const { terms } = defaultAnalyzer;
  const input = JSON.stringify({
    passages: passages.map((passage) => terms(searchable(passage))),
    queries: questions.map(({ text }) => terms(text)),
    ...bm25Parameters(),
    k: DEEPEST,
  });
  const script = fileURLToPath(new URL("../parity/search_bm25s.py", import.meta.url));
  const found = JSON.parse(execFileSync(python, [script], { input, maxBuffer: 1 << 28 }).toString()) as [
    number,
    number,
  ][][];
  const hits = found.map((list) => list.map(([at, score], i): Hit => ({ ...passages[at]!, score, rank: i + 1 })));
  const { n, recall } = searchHealth(questions, hits, { passages: passages.length, skipped: 0 });
  return { set: name, how: "bm25s", n, recall };
}

const percent = (share: number) => (100 * share).toFixed(1);
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
const encoderName = values["encoder-name"] ?? basename(encoder);
const table = [
  `Gold paragraphs found, in per cent; dense is ${encoderName} (float, scanned by int8), hybrid their reciprocal rank fusion.`,
  "",
  `| questions | search | ${depths.map((k) => `recall@${k}`).join(" | ")} |`,
  `| --- | --- | ${depths.map(() => "---:").join(" | ")} |`,
  ...rows.map(
    ({ set, how, n, recall }) => `| ${set} (${n}) | ${how} | ${depths.map((k) => percent(recall[k]!)).join(" | ")} |`,
  ),
  "",
  `\`npm run experiment -- recall\`, commit ${commit}, Node ${process.versions.node}, ${cpus()[0]?.model.trim()} (${cpus().length} cores).`,
].join("\n");
console.log(table);
if (values.write !== undefined) writeMarked(values.write, "recall", table);
const least = (set: string, how: string, k: string) =>
  rows.find((row) => row.set === set && row.how === how)?.recall[k] ?? 0;
const failures = sets.flatMap(({ name }) =>
  depths.flatMap((k) => {
    const [words, vectors, hybrid] = ["BM25", "dense", "hybrid"].map((how) => least(name, how, k));
    const weak = hybrid! < Math.max(words!, vectors!) - 0.01 - 1e-9 ? [`${name}: hybrid recall@${k} is behind`] : [];
    return words! < least(name, "bm25s", k) - 1e-9 ? [...weak, `${name}: BM25 recall@${k} is below bm25s`] : weak;
  }),
);
for (const failure of failures) console.error(failure);
process.exitCode = failures.length > 0 ? 1 : 0;
