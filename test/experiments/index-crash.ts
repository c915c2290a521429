/**
 * @file SIGKILL before every fsync and rename of a build, an overwriting build, an append and a merge, of builds by vectors also
 * before every call of the encoder, and at random moments of a larger build. Afterwards the index opens at its last commit, or the build resumes; all answers are those of an
 * index that was never interrupted.
 *   npm run experiment -- index-crash [--what build,overwrite,append,merge,dense,dense-overwrite,dense-append] [--every 1] [--random 50]
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { syntheticPassages } from "../../bench/search/synthetic.ts";
import { programOptions } from "../../scripts/program-options.ts";
import { randomOf } from "../../src/base/random.ts";
import { duration } from "../../src/cli/display/words.ts";
import { MANIFEST } from "../../src/search/bm25/format.ts";
import { openIndex } from "../../src/search/bm25/open.ts";
import { searchable } from "../../src/search/bm25/rank.ts";
import { memorySearcher } from "../../src/search/bm25/searcher.ts";
import { openDenseIndex } from "../../src/search/dense/open.ts";
import { wordsEncoder } from "../../src/search/dense/testing/words-encoder.ts";
import { sleep, startCli } from "../support/cli-process.ts";
import { BUILT, crashPassages, crashQueries } from "./index-crash/corpus.ts";

const help = `Kills whatever writes to an index: before each fsync and rename, before each call of an encoder, and at random
moments of a larger build. Afterwards the index opens at its last commit or the build resumes, with the same answers.

usage: npm run experiment -- index-crash [options]
  --what <a,b,…>     of build, overwrite, append, merge, dense, dense-overwrite, dense-append (default: all)
  --every <n>        kills before each n-th of those calls (default: 1)
  --random <n>       kills at random moments (default: 50)
  --passages <n>     of the larger build (default: 60000)
  --help
`;
const { values } = programOptions(help, {
  what: { type: "string", default: "build,overwrite,append,merge,dense,dense-overwrite,dense-append" },
  every: { type: "string", default: "1" },
  random: { type: "string", default: "50" },
  passages: { type: "string", default: "60000" },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);
/** Compiled, this file runs a compiled child, which starts in a fifth of the time. */
const child = import.meta.url.endsWith(".ts")
  ? ["--import", "tsx", fileURLToPath(new URL("index-crash/child.ts", import.meta.url))]
  : [fileURLToPath(new URL("index-crash/child.js", import.meta.url))];

interface Written {
  readonly calls: number;
  /** Passages. */
  readonly encoded: number;
}

/** @param at before which call it dies; 0: never. @returns undefined where it died */
function write(what: string, directory: string, at: number): Written | undefined {
  const { signal, status, stdout, stderr } = spawnSync(process.execPath, [...child, what, directory, String(at)], {
    encoding: "utf8",
  });
  if (signal === "SIGKILL") return undefined;
  if (status !== 0) throw new Error(`${what} ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as Written;
}

/** @returns how many passages the index holds, once its answers were found to be those of the first so many */
async function holds(directory: string): Promise<number> {
  if (/r1-searcher\/dense/.test(readFileSync(join(directory, MANIFEST), "utf8"))) return holdsVectors(directory);
  const index = await openIndex(directory, { verify: true });
  try {
    const { passages = 0 } = index.info();
    const memory = memorySearcher(crashPassages.slice(0, passages));
    if (!isDeepStrictEqual(index.info(), memory.info())) throw new Error("it holds other passages");
    const [found, expected] = [
      await index.search(crashQueries, { k: 10 }),
      await memory.search(crashQueries, { k: 10 }),
    ];
    if (!isDeepStrictEqual(found, expected)) throw new Error("it gives other answers");
    return passages;
  } finally {
    await index.close();
  }
}

/** Scores are those of all vectors compared one by one. */
async function holdsVectors(directory: string): Promise<number> {
  const encoder = wordsEncoder(64);
  const index = await openDenseIndex(directory, { encoder });
  try {
    const { passages = 0 } = index.info();
    const rows = await encoder.encodePassages(crashPassages.slice(0, passages).map(searchable));
    const found = await index.search(crashQueries, { k: 10 });
    for (const [i, query] of (await encoder.encodeQueries(crashQueries)).entries()) {
      const scores = rows.map((row) => row.reduce((sum, x, d) => sum + x * query[d]!, 0)).sort((a, b) => b - a);
      const result = found[i]!;
      const hits = result.ok ? result.hits : [];
      if (hits.length !== 10 || hits.some(({ score }, at) => Math.abs(score - scores[at]!) > 1e-5))
        throw new Error("it gives other answers");
    }
    return passages;
  } finally {
    await index.close();
  }
}

interface Scenario {
  readonly what: string;
  /** Whether an index lies there before. */
  readonly from: "nothing" | "built" | "appended" | "vectors";
  /** How many passages may lie there after the kill; undefined: no index. */
  readonly after: readonly (number | undefined)[];
  /** How many when the same is asked for again. */
  readonly end: number;
}

const ALL = crashPassages.length;
const scenarios: readonly Scenario[] = [
  { what: "build", from: "nothing", after: [undefined, BUILT], end: BUILT },
  { what: "overwrite", from: "appended", after: [undefined, ALL, BUILT], end: BUILT },
  { what: "append", from: "built", after: [BUILT, ALL], end: ALL },
  { what: "merge", from: "appended", after: [ALL], end: ALL },
  { what: "dense", from: "nothing", after: [undefined, BUILT], end: BUILT },
  { what: "dense-overwrite", from: "vectors", after: [undefined, BUILT], end: BUILT },
  { what: "dense-append", from: "vectors", after: [undefined, BUILT, ALL], end: ALL },
];

async function killEverywhere({ what, from, after, end }: Scenario, folder: string): Promise<void> {
  const directory = join(folder, "index");
  const prepare = () => {
    for (const name of readdirSync(folder))
      if (name.startsWith("index")) rmSync(join(folder, name), { recursive: true });
    if (from !== "nothing") cpSync(join(folder, from), directory, { recursive: true });
  };
  let [killed, encoded] = [0, 0];
  for (let at = 1; ; at += Number(values.every)) {
    prepare();
    if (write(what, directory, at) !== undefined) break;
    killed++;
    const found = existsSync(directory) ? await holds(directory) : undefined;
    if (!after.includes(found)) throw new Error(`${what}, call ${at}: ${found} passages`);
    // an append that was committed before it died would be added twice, and a build that stands is refused
    const isDone = found === end && what !== "merge";
    if (!isDone || what.endsWith("overwrite")) encoded += write(what, directory, 0)?.encoded ?? 0;
    if ((await holds(directory)) !== end) throw new Error(`${what}, call ${at}: done again, it holds other passages`);
    const left = readdirSync(folder).filter((name) => name.startsWith("index."));
    if (left.length > 0 && !isDone) throw new Error(`${what}, call ${at}: ${left.join(", ")} stays behind`);
  }
  const again =
    what === "dense" || what === "dense-append"
      ? `, ${(encoded / killed).toFixed(0)} passages encoded again on average`
      : "";
  say(`${what.padEnd(16)}killed before ${killed} calls: opened at its last commit or resumed every time${again}`);
}

/** Through the command line, with threads. */
async function killAtRandom(folder: string): Promise<void> {
  const corpus = join(folder, "corpus.jsonl");
  const count = Number(values.passages);
  const passages = [...syntheticPassages(count)];
  writeFileSync(corpus, passages.map((passage) => `${JSON.stringify(passage)}\n`).join(""));
  const directory = join(folder, "random");
  const build = () => startCli(["index", "build", corpus, "--out", directory, "--resume", "--threads", "2"]);
  const random = randomOf(1, "moments");
  const begun = performance.now();
  await build().ended;
  const whole = performance.now() - begun;
  let resumed = 0;
  const kills = Number(values.random);
  const first = performance.now();
  for (let i = 0; i < kills; i++) {
    if (i > 0 && i % 5 === 0) {
      const seconds = ((performance.now() - first) / 1000 / i) * (kills - i);
      say(`random          ${i} of ${kills} kills without a fault, about ${duration(seconds)} left`);
    }
    for (const name of readdirSync(folder))
      if (name.startsWith("random")) rmSync(join(folder, name), { recursive: true });
    const running = build();
    await sleep(random.next() * whole);
    running.signal("SIGKILL");
    await running.ended;
    if (existsSync(`${directory}.building/progress.json`)) resumed++;
    if (!existsSync(directory)) {
      const { code, stderr } = await build().ended;
      if (code !== 0) throw new Error(`resuming ended with ${code}: ${stderr}`);
    }
    const index = await openIndex(directory, { verify: true });
    const [result] = await index.search([passages[i]!.text], { k: 1 });
    const found = result?.ok ? result.hits[0]?.id : undefined;
    if (index.info().passages !== count || found !== passages[i]!.id) throw new Error(`kill ${i}: found ${found}`);
    await index.close();
  }
  say(
    `random          killed ${kills} times within ${(whole / 1000).toFixed(1)} s: whole in the end, ${resumed} times from its segments`,
  );
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "index-crash-"));
  try {
    write("build", join(folder, "built"), 0);
    cpSync(join(folder, "built"), join(folder, "appended"), { recursive: true });
    write("append", join(folder, "appended"), 0);
    write("dense", join(folder, "vectors"), 0);
    const wanted = values.what.split(",");
    for (const scenario of scenarios.filter(({ what }) => wanted.includes(what)))
      await killEverywhere(scenario, folder);
    if (Number(values.random) > 0) await killAtRandom(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
