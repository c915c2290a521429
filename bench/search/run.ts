/**
 * @file Search side by side on one corpus of synthetic passages: ours with one thread and two, and where they can run,
 * bm25s with numba and Lucene. `npm run bench -- search --help`
 */
import { execFileSync, spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { programOptions } from "../../scripts/program-options.ts";
import { generate } from "./generate.ts";
import { type Measured, report } from "./report.ts";

const help = `Search side by side on one corpus of synthetic passages: ours, and where they can run, bm25s and Lucene.
What is not given is left out, and said.

usage: npm run bench -- search [options]
  --passages <n>       how many (default: 100000)
  --folder <dir>       keeps the corpus for the next run (default: bench-search in the temporary folder)
  --threads <a,b,…>    of ours (default: 1,2)
  --python <program>   has bm25s and numba
  --lucene <jar>       lucene-core of bench/peers/pom.xml, by "mvn -f bench/peers dependency:copy-dependencies"; wants a JDK 17
  --write <page>       puts the table between the marks of this page, which name the number of passages
  --help

examples:
  npm run bench -- search --passages 20000
  npm run bench -- search --passages 1000000 --python venv/bin/python --write docs/benchmarks.md
`;

const { values } = programOptions(help, {
  passages: { type: "string", default: "100000" },
  folder: { type: "string", default: join(tmpdir(), "bench-search") },
  python: { type: "string" },
  lucene: { type: "string" },
  threads: { type: "string", default: "1,2" },
  write: { type: "string" },
});
const say = (line: string) => void process.stderr.write(`${line}\n`);
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

function measured(program: string, args: readonly string[]): Partial<Measured> {
  const env = { ...process.env, NUMBA_NUM_THREADS: "1", OMP_NUM_THREADS: "1" };
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", env, maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr}`);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as Partial<Measured>;
}

function ours(files: { corpus: string; queries: string }, folder: string, threads: string): Measured {
  const directory = join(folder, `ours-${threads}`);
  const measure = (...args: readonly string[]) => measured(process.execPath, [here("measure.mjs"), ...args]);
  return {
    name: `ours, ${threads === "1" ? "1 thread" : `${threads} threads`}`,
    ...measure("build", files.corpus, directory, threads),
    ...measure("query", files.queries, directory),
    ...measure("serve", files.queries, directory),
  } as Measured;
}

async function main(): Promise<void> {
  const load = loadavg()[0]!;
  const folder = join(values.folder, values.passages);
  const files = await generate(folder, Number(values.passages));
  const compiled = spawnSync("npm", ["run", "--silent", "build"], {
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (compiled.status !== 0) throw new Error(`npm run build: ${compiled.stdout}${compiled.stderr}`);
  const all: Measured[] = [];
  const peer = (name: string, program: string, args: readonly string[]) => {
    const directory = join(folder, name);
    rmSync(directory, { recursive: true, force: true });
    say(`${name} …`);
    all.push({ name, ...measured(program, [...args, files.corpus, files.queries, directory]) } as Measured);
  };
  for (const threads of values.threads.split(",")) {
    say(`ours, ${threads} …`);
    all.push(ours(files, folder, threads));
  }
  if (values.python === undefined) say("bm25s: left out, no --python was given");
  else peer("bm25s", values.python, [here("../peers/bm25s_bench.py")]);
  if (values.lucene === undefined) say("Lucene: left out, no --lucene was given");
  else peer("Lucene", "java", ["-Xmx1g", "-cp", values.lucene, here("../peers/LuceneBench.java")]);
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  report(all, { passages: Number(values.passages), load, commit, write: values.write });
}

await main();
