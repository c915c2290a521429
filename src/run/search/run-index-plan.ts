/** @file What an index will cost, told from its beginning: the first passages are read and indexed for real. */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { Passage } from "../../protocol/passage.ts";
import { buildIndex } from "../../search/bm25/build.ts";
import { memoryOfBuild, sizeOfLarger } from "../../search/bm25/cost.ts";
import { passagesOf } from "./run-index-build.ts";

export interface IndexPlan {
  readonly passages: number;
  /** Of the finished index. */
  readonly diskBytes: number;
  /** While it is built, segments and what is merged of them lie side by side. */
  readonly peakDiskBytes: number;
  /** Resident, at the most, while it is built. */
  readonly ramBytes: number;
  readonly seconds: number;
  /** That find work. */
  readonly threads: number;
  /** Passages that were looked at. */
  readonly sampled: number;
}

const SAMPLE_PASSAGES = 20_000;
const SAMPLE_CHARACTERS = 16 << 20;
/** What merging adds to the time of a build. */
const MERGE_SHARE = 0.25;

export async function planIndex(corpus: string, options: { readonly threads?: number } = {}): Promise<IndexPlan> {
  const { sample, total } = await sampleOf(corpus);
  const directory = mkdtempSync(join(tmpdir(), "r1-searcher-plan-"));
  try {
    const index = join(directory, "sample");
    const { seconds } = await buildIndex(asyncOf(sample), index, { threads: 1 });
    const ratio = total / sample.length;
    const diskBytes = sizeOfLarger(index, ratio);
    // a corpus that one segment holds gains nothing from threads
    const threads = Math.max(1, Math.min(options.threads ?? availableParallelism(), Math.floor(ratio)));
    return {
      passages: total,
      diskBytes,
      peakDiskBytes: ratio > 1 ? 2 * diskBytes : diskBytes,
      ramBytes: memoryOfBuild({ passages: total, threads }),
      seconds: (seconds * ratio * (ratio > 1 ? 1 + MERGE_SHARE : 1)) / threads,
      threads,
      sampled: sample.length,
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The first passages, and how many there are if the rest is like them. */
async function sampleOf(corpus: string): Promise<{ sample: Passage[]; total: number }> {
  const meter = { read: 0, total: 0 };
  const sample: Passage[] = [];
  let characters = 0;
  let count = 0;
  for await (const passage of passagesOf(corpus, { meter })) {
    count++;
    if (sample.length < SAMPLE_PASSAGES && characters < SAMPLE_CHARACTERS) {
      sample.push(passage);
      characters += passage.title.length + passage.text.length;
    } else if (meter.read > 0) {
      return { sample, total: Math.max(count, Math.round((count * meter.total) / meter.read)) };
    } // else it tells no position, and is counted to its end
  }
  return { sample, total: count };
}

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
