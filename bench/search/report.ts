/** @file The table of the bench, and where it is kept. */
import { cpus } from "node:os";
import { writeMarked } from "../../src/base/marked-page.ts";
import { QUERIES } from "./generate.ts";

/** Milliseconds of a query: two percentiles by the clock, and its processor time on average. */
export interface Times {
  readonly p50: number;
  readonly p95: number;
  readonly cpu: number;
}

/** The best ten of queries of one kind: as positions with scores, and where an engine keeps texts, with them. */
export interface Answered {
  readonly ranked: Times;
  readonly read?: Times;
}

export interface Measured {
  readonly name: string;
  readonly version?: string;
  readonly passages: number;
  readonly buildSeconds: number;
  readonly buildCpuSeconds: number;
  readonly buildPeakBytes: number;
  readonly diskBytes: number;
  readonly keywords: Answered;
  readonly allWords: Answered;
  readonly servingBytes?: number;
}

export function report(
  all: readonly Measured[],
  about: { passages: number; load: number; commit: string; write: string | undefined },
): void {
  const text = [
    `${about.passages.toLocaleString("en")} synthetic passages of 100 words.`,
    "",
    "| | build, processor s | s | peak MB | on disk MB | serving MB |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...all.map(buildRow),
    "",
    `The best ten of a query, ms: p50 / p95 by the clock, and processor time on average; ${QUERIES} queries for each figure, none asked before.`,
    "",
    "| | keywords, ranked | with texts | all words, ranked | with texts |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...all.map(queryRow),
    "",
    `\`npm run bench -- search --passages ${about.passages}\`, commit ${about.commit}, Node ${process.version}, ${cpus()[0]?.model.trim()} (${cpus().length} cores), load ${about.load.toFixed(1)} when it began.`,
  ].join("\n");
  console.log(text);
  if (about.write !== undefined) writeMarked(about.write, `bench:search ${about.passages}`, text);
}

const megabytes = (bytes: number | undefined) => (bytes === undefined ? "–" : String(Math.round(bytes / 1e6)));
const nameOf = ({ name, version }: Measured) => version ?? name;

function buildRow(result: Measured): string {
  const { buildSeconds, buildCpuSeconds, buildPeakBytes, diskBytes, servingBytes } = result;
  const cells = [
    buildCpuSeconds.toFixed(1),
    buildSeconds.toFixed(1),
    megabytes(buildPeakBytes),
    megabytes(diskBytes),
    megabytes(servingBytes),
  ];
  return `| ${nameOf(result)} | ${cells.join(" | ")} |`;
}

function queryRow(result: Measured): string {
  const cells = [result.keywords, result.allWords].flatMap(({ ranked, read }) => [ranked, read]).map(timesOf);
  return `| ${nameOf(result)} | ${cells.join(" | ")} |`;
}

function timesOf(times: Times | undefined): string {
  return times === undefined ? "–" : `${times.p50.toFixed(2)} / ${times.p95.toFixed(2)}, ${times.cpu.toFixed(2)}`;
}
