/**
 * @file One measurement in a process of its own, of the package as it is published: `build CORPUS DIR THREADS` or
 * `query QUERIES DIR`. Prints one JSON object.
 */
import { readFileSync } from "node:fs";

const [what, input, directory, threads] = process.argv.slice(2);
const WARM_ROUNDS = 10;
const K = 10;

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const peakBytes = () => process.resourceUsage().maxRSS * 1024;

async function build() {
  const { buildIndex, readCorpus } = await import("../../dist/search/index.js");
  const { passages, bytes, seconds } = await buildIndex(readCorpus(input), directory, {
    overwrite: true,
    threads: Number(threads),
  });
  return {
    passages,
    buildSeconds: seconds,
    buildCpuSeconds: cpuSeconds(),
    buildPeakBytes: peakBytes(),
    diskBytes: bytes,
  };
}

/** Milliseconds of a query, by the clock; and of processor time on average. */
function timed(queries, answer) {
  const times = [];
  const before = cpuSeconds();
  for (const query of queries) {
    const begun = performance.now();
    answer(query);
    times.push(performance.now() - begun);
  }
  const cpu = ((cpuSeconds() - before) * 1000) / queries.length;
  times.sort((a, b) => a - b);
  return { p50: times[times.length >> 1], p95: times[Math.floor(times.length * 0.95)], cpu };
}

async function query() {
  const { openDiskIndex } = await import("../../dist/search/bm25/open.js");
  const index = openDiskIndex(directory);
  const rank = (text) => index.candidates(text, K);
  const read = (text) => rank(text).map((candidate, i) => index.hit(candidate, i + 1));
  const report = {};
  for (const [kind, asked] of Object.entries(JSON.parse(readFileSync(input, "utf8")))) {
    for (let round = 0; round < WARM_ROUNDS; round++) timed(asked.warm, read);
    report[kind] = { ranked: timed(asked.ranked, rank), read: timed(asked.read, read) };
  }
  index.close();
  return report;
}

/** As a program that searches through the package's interface, whole: its memory is what serving takes. */
async function serve() {
  const { openIndex } = await import("../../dist/search/index.js");
  const searcher = await openIndex(directory);
  for (const asked of Object.values(JSON.parse(readFileSync(input, "utf8")))) {
    for (const query of Object.values(asked).flat()) {
      const [result] = await searcher.search([query], { k: K });
      if (!result.ok) throw new Error(result.error.message);
    }
  }
  await searcher.close();
  return { servingBytes: peakBytes() };
}

process.stdout.write(`${JSON.stringify(await { build, query, serve }[what]())}\n`);
