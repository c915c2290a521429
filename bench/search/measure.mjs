/**
 * @file One measurement in a process of its own, of the package as it is published: `build CORPUS DIR THREADS` or
 * `query QUERIES DIR`. Prints one JSON object.
 */
import { readFileSync } from "node:fs";
import { buildIndex, openIndex, readCorpus } from "../../dist/search/index.js";

const [what, input, directory, threads] = process.argv.slice(2);

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function build() {
  const { passages, bytes, seconds } = await buildIndex(readCorpus(input), directory, {
    overwrite: true,
    threads: Number(threads),
  });
  return {
    passages,
    buildSeconds: seconds,
    buildCpuSeconds: cpuSeconds(),
    buildPeakBytes: process.resourceUsage().maxRSS * 1024,
    diskBytes: bytes,
  };
}

/** Milliseconds of a search for ten passages, texts included. */
async function percentiles(searcher, queries) {
  const times = [];
  for (const query of queries) {
    const begun = performance.now();
    const [result] = await searcher.search([query], { k: 10 });
    times.push(performance.now() - begun);
    if (!result.ok) throw new Error(result.error.message);
  }
  times.sort((a, b) => a - b);
  return { p50: times[times.length >> 1], p95: times[Math.floor(times.length * 0.95)] };
}

async function query() {
  const asked = JSON.parse(readFileSync(input, "utf8"));
  const searcher = await openIndex(directory);
  const report = {};
  for (const name of ["keywords", "allWords"]) {
    for (let warm = 0; warm < 5; warm++) await percentiles(searcher, asked[name]);
    report[name] = await percentiles(searcher, asked[name]);
  }
  report.servingBytes = process.resourceUsage().maxRSS * 1024;
  await searcher.close();
  return report;
}

process.stdout.write(`${JSON.stringify(await { build, query }[what]())}\n`);
