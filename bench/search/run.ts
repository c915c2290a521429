/**
 * @file Search side by side on one corpus of synthetic passages: ours with one thread and two, and where they can run,
 * bm25s with numba and Lucene.
 *   npm run bench:search -- [--passages 100000] [--folder DIR] [--python PYTHON] [--lucene lucene-core.jar]
 * bm25s needs a Python with bm25s and numba; Lucene a JDK 17 and the jar of `bench/peers/pom.xml`
 * (`mvn -f bench/peers dependency:copy-dependencies`). What is not given is left out, and said.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { generate } from "./generate.ts";

interface Percentiles {
  readonly p50: number;
  readonly p95: number;
}

interface Measured {
  readonly passages: number;
  readonly buildSeconds: number;
  readonly buildCpuSeconds: number;
  readonly buildPeakBytes: number;
  readonly diskBytes: number;
  readonly keywords?: Percentiles;
  readonly allWords?: Percentiles;
  readonly servingBytes?: number;
}

const { values } = parseArgs({
  options: {
    passages: { type: "string", default: "100000" },
    folder: { type: "string", default: join(tmpdir(), "bench-search") },
    python: { type: "string" },
    lucene: { type: "string" },
    threads: { type: "string", default: "1,2" },
  },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

function measured(program: string, args: readonly string[]): Measured {
  const env = { ...process.env, NUMBA_NUM_THREADS: "1", OMP_NUM_THREADS: "1" };
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", env, maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr}`);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as Measured;
}

function ours(files: { corpus: string; queries: string }, folder: string, threads: string): Measured {
  const directory = join(folder, `ours-${threads}`);
  const built = measured(process.execPath, [here("measure.mjs"), "build", files.corpus, directory, threads]);
  return { ...built, ...measured(process.execPath, [here("measure.mjs"), "query", files.queries, directory]) };
}

function row(name: string, result: Measured): string {
  const { buildSeconds, buildCpuSeconds, buildPeakBytes, diskBytes, servingBytes, keywords, allWords } = result;
  const mb = (bytes: number | undefined) => (bytes === undefined ? "–" : String(Math.round(bytes / 1e6)));
  const times = (found: Percentiles | undefined) =>
    found === undefined ? "–" : `${found.p50.toFixed(2)} / ${found.p95.toFixed(2)}`;
  const cells = [
    buildCpuSeconds.toFixed(1),
    buildSeconds.toFixed(1),
    mb(buildPeakBytes),
    mb(diskBytes),
    mb(servingBytes),
  ];
  return `| ${name} | ${cells.join(" | ")} | ${times(keywords)} | ${times(allWords)} |`;
}

async function main(): Promise<void> {
  const folder = join(values.folder, values.passages);
  mkdirSync(folder, { recursive: true });
  const files = await generate(folder, Number(values.passages));
  const compiled = spawnSync("npm", ["run", "--silent", "build"], {
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (compiled.status !== 0) throw new Error(`npm run build: ${compiled.stdout}${compiled.stderr}`);
  say(`${values.passages} synthetic passages, 300 queries of each kind, top 10`);
  say(
    "| engine | build CPU s | build s | build peak MB | disk MB | serving MB | keywords p50 / p95 ms | all words p50 / p95 ms |",
  );
  say("| --- | --- | --- | --- | --- | --- | --- | --- |");
  for (const threads of values.threads.split(",")) say(row(`ours, ${threads} threads`, ours(files, folder, threads)));
  const peer = (name: string) => {
    const directory = join(folder, name);
    rmSync(directory, { recursive: true, force: true });
    return [files.corpus, files.queries, directory];
  };
  if (values.python === undefined) say("bm25s: left out, no --python was given");
  else say(row("bm25s, numba", measured(values.python, [here("../peers/bm25s_bench.py"), ...peer("bm25s")])));
  if (values.lucene === undefined) say("Lucene: left out, no --lucene was given");
  else {
    const java = ["-Xmx1g", "-cp", values.lucene, here("../peers/LuceneBench.java"), ...peer("lucene")];
    say(row("Lucene", measured("java", java)));
  }
}

await main();
