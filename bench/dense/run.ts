/**
 * @file Exact search among vectors beside FAISS's IndexFlatIP, one thread each, on the same vectors in one run.
 * `npm run bench -- dense --help`
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { programOptions, refuse } from "../../scripts/program-options.ts";
import { ConfigError } from "../../src/base/errors.ts";
import { checkMarked, writeMarked } from "../../src/base/marked-page.ts";
import type { Passage } from "../../src/protocol/passage.ts";
import { buildDenseIndex } from "../../src/search/dense/build.ts";
import type { Encoder } from "../../src/search/dense/encoder.ts";
import { openDenseIndex } from "../../src/search/dense/open.ts";
import { openVectorFile } from "../../src/search/dense/vector-files.ts";
import type { Searcher } from "../../src/search/searcher.ts";

const help = `Exact search among vectors beside FAISS's IndexFlatIP, one thread each, on the same vectors in one run.

usage: npm run bench -- dense --python PROGRAM [options]
  --python <program>   has numpy and faiss-cpu
  --rows <n>           vectors searched (default: 200000)
  --dimension <n>      of a vector (default: 384)
  --queries <n>        searched one by one, then 64 at once (default: 256)
  --write <page>       puts the table between the marks of this page
  --help

examples:
  npm run bench -- dense --python venv/bin/python --rows 20000
  npm run bench -- dense --python venv/bin/python --write docs/results.md
`;

const { values } = programOptions(help, {
  python: { type: "string" },
  rows: { type: "string", default: "200000" },
  dimension: { type: "string", default: "384" },
  queries: { type: "string", default: "256" },
  write: { type: "string" },
});
if (values.python === undefined)
  refuse(new ConfigError("--python is missing", { hint: "name a Python with numpy and faiss-cpu" }));
if (values.write !== undefined) checkMarked(values.write, "bench:dense");

interface Times {
  /** Milliseconds of a batch. */
  readonly p50: number;
  readonly cpu: number;
}
type Sizes = Readonly<Record<"1" | "64", Times>>;

const folder = mkdtempSync(join(tmpdir(), "bench-dense-"));
try {
  const peer = fileURLToPath(new URL("../peers/faiss_flat.py", import.meta.url));
  const load = loadavg()[0]!;
  const said = execFileSync(values.python, [peer, folder, values.rows, values.dimension, values.queries], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const faiss = JSON.parse(said) as Sizes & { readonly version: string; readonly top: readonly (readonly number[])[] };
  const lines = [row(`FAISS ${faiss.version} IndexFlatIP, f32`, faiss, 1)];
  const { encoder, count } = queriesOf(join(folder, "queries.npy"));
  const vectors = openVectorFile(join(folder, "vectors.faiss"));
  await buildDenseIndex(numbered(vectors.count), join(folder, "index"), { encoder, vectors });
  vectors.close();
  for (const scan of ["int8", "bits"] as const) {
    const searcher = await openDenseIndex(join(folder, "index"), { encoder, scan });
    const sizes = { 1: await timed(searcher, count, 1), 64: await timed(searcher, count, 64) };
    lines.push(row(`ours, ${scan}, floats from disk for the best`, sizes, await recall(searcher, faiss.top)));
    await searcher.close();
  }
  report(lines, load);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Queries are their numbers, as text. */
function queriesOf(path: string): { readonly encoder: Encoder; readonly count: number } {
  const file = openVectorFile(path);
  const rows = [...file.rows()];
  file.close();
  const encode = async (texts: readonly string[]) => texts.map((text) => rows[Number(text)]!);
  const identity = { source: path, fingerprint: "bench", settings: {} };
  const parts = { encodeQueries: encode, encodePassages: encode, close: async () => {} };
  return { encoder: { dimension: file.dimension, identity, ...parts }, count: rows.length };
}

async function* numbered(count: number): AsyncGenerator<Passage> {
  for (let i = 0; i < count; i++) yield { id: String(i), title: "", text: `passage ${i}` };
}

/** Whole searches: passages are read and unpacked too, which FAISS does not do. */
async function timed(searcher: Searcher, count: number, size: number): Promise<Times> {
  const walls: number[] = [];
  const cpu: number[] = [];
  for (let from = 0; from + size <= count; from += size) {
    const queries = Array.from({ length: size }, (_, i) => String(from + i));
    const [start, before] = [performance.now(), process.cpuUsage()];
    await searcher.search(queries, { k: 10 });
    walls.push(performance.now() - start);
    const { user, system } = process.cpuUsage(before);
    cpu.push((user + system) / 1000);
  }
  return { p50: median(walls), cpu: median(cpu) };
}

async function recall(searcher: Searcher, top: readonly (readonly number[])[]): Promise<number> {
  const results = await searcher.search(
    top.map((_, i) => String(i)),
    { k: 10 },
  );
  const shares = results.map((result, i) => {
    if (!result.ok) throw new Error(result.error.message);
    return result.hits.filter(({ id }) => top[i]!.includes(Number(id))).length / 10;
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[times.length >> 1]!;
}

function row(name: string, sizes: Sizes, share: number): string {
  const cells = (["1", "64"] as const).flatMap((size) => [sizes[size].p50, sizes[size].cpu].map((ms) => ms.toFixed(1)));
  return `| ${name} | ${cells.join(" | ")} | ${share.toFixed(4)} |`;
}

function report(lines: readonly string[], load: number): void {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  const text = [
    `${values.rows} unit vectors of ${values.dimension} in 1,000 clusters, the best 10, one thread; milliseconds of a batch, by the clock (p50) and of processor time; ${values.queries} queries, so ${Math.floor(Number(values.queries) / 64)} batches of 64.`,
    "",
    "| | 1 query, p50 | processor | 64 queries, p50 | processor | recall@10 |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...lines,
    "",
    `\`npm run bench -- dense\`, commit ${commit}, ${cpus()[0]?.model.trim()} (${cpus().length} cores), load ${load.toFixed(1)} when it began.`,
  ].join("\n");
  console.log(text);
  if (values.write !== undefined) writeMarked(values.write, "bench:dense", text);
}
