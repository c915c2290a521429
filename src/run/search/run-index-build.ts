import { dirname, resolve } from "node:path";
import { ConfigError, DataError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import { type BuildOptions, type BuildProgress, type BuildReport, buildIndex } from "../../search/bm25/build.ts";
import { appendToIndex, type GrowOptions, type GrowReport, mergeIndex } from "../../search/bm25/grow.ts";
import { type ReadOptions, readCorpus } from "../../search/corpus.ts";
import { appendToDenseIndex } from "../../search/dense/append.ts";
import { buildDenseIndex, type DenseBuildOptions } from "../../search/dense/build.ts";
import { openVectorFile } from "../../search/dense/vector-files.ts";
import { lockIndex } from "../store/run-lock.ts";
import { makeWritable } from "../store/writable-folder.ts";
import type { EncoderOptions } from "./open-encoder.ts";
import { isDense, openIndexEncoder } from "./open-index.ts";

export interface CorpusOptions {
  /** Passes over bad rows instead of ending at the first. */
  readonly skipBad?: boolean;
  readonly onBadRow?: (message: string) => void;
  readonly onCorpusProgress?: (progress: CorpusProgress) => void;
}

export interface CorpusProgress extends BuildProgress {
  /** Of the phase. */
  readonly fraction: number;
  /** Of the phase, if it goes on as it went. */
  readonly secondsLeft: number;
}

/** Counts of what was read beside what was built. */
export interface Read {
  readonly badRows: number;
}

/** Builds an index of a corpus; a failure leaves nothing, a stop leaves what can be resumed. */
export async function runIndexBuild(
  corpus: string,
  directory: string,
  options: Omit<BuildOptions, "onProgress"> & CorpusOptions,
): Promise<BuildReport & Read> {
  return building(directory, corpus, options, (passages, onProgress) =>
    buildIndex(passages, directory, { ...options, onProgress }),
  );
}

export interface DenseOptions extends Omit<DenseBuildOptions, "onProgress" | "encoder" | "vectors"> {
  /** Folder or address. */
  readonly encoder: string;
  /** File of the corpus's vectors, `.npy` or FAISS. */
  readonly vectors?: string | undefined;
  readonly using?: EncoderOptions;
}

/** Builds a dense index of a corpus; a failure leaves nothing, a stop leaves what can be resumed. */
export async function runDenseBuild(
  corpus: string,
  directory: string,
  { encoder: place, vectors: file, using, ...options }: DenseOptions & CorpusOptions,
): Promise<BuildReport & Read> {
  const { openEncoder } = await import("./open-encoder.ts"); // who only reads a corpus loads none
  const encoder = await openEncoder(place, using);
  const vectors = file === undefined ? undefined : openVectorFile(file);
  try {
    return await building(directory, corpus, options, (passages, onProgress) =>
      buildDenseIndex(passages, directory, { ...options, encoder, onProgress, ...(vectors ? { vectors } : {}) }),
    );
  } finally {
    vectors?.close();
    await encoder.close();
  }
}

async function building(
  directory: string,
  corpus: string,
  options: CorpusOptions,
  build: (
    passages: AsyncIterable<Passage>,
    onProgress: NonNullable<BuildOptions["onProgress"]>,
  ) => Promise<BuildReport>,
): Promise<BuildReport & Read> {
  const removeFolders = makeWritable(dirname(resolve(directory)));
  try {
    return await locked(directory, async () => {
      const reading = readingOf(corpus, options);
      const report = await build(reading.passages, reading.onProgress);
      return { ...report, badRows: reading.badRows() };
    });
  } catch (cause) {
    removeFolders();
    throw cause;
  }
}

/** Adds a corpus to an index, all of it or nothing. */
export async function runIndexAppend(
  directory: string,
  corpus: string,
  options: Omit<GrowOptions, "onProgress"> & CorpusOptions,
): Promise<GrowReport & Read> {
  return locked(directory, async () => {
    const reading = readingOf(corpus, options);
    const { passages, onProgress } = reading;
    // a kill between two renames leaves the whole index beside
    const place = [directory, `${resolve(directory)}.appending`].find(isDense);
    const report =
      place === undefined
        ? await appendToIndex(passages, directory, { ...options, onProgress })
        : await appendVectors(passages, directory, { place, options: { ...options, onProgress } });
    return { ...report, badRows: reading.badRows() };
  });
}

async function appendVectors(
  passages: AsyncIterable<Passage>,
  directory: string,
  { place, options }: { readonly place: string; readonly options: GrowOptions },
): Promise<GrowReport> {
  const encoder = await openIndexEncoder(place, {});
  try {
    return { ...(await appendToDenseIndex(passages, directory, { ...options, encoder })), segments: 1 };
  } finally {
    await encoder.close();
  }
}

export async function runIndexMerge(directory: string, options: GrowOptions = {}): Promise<GrowReport> {
  if (isDense(directory))
    throw new ConfigError(`${directory} is an index by vectors`, {
      hint: "it has no segments: nothing is to be merged",
    });
  return locked(directory, () => mergeIndex(directory, options));
}

async function locked<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const lock = lockIndex(directory);
  try {
    return await work();
  } finally {
    lock.release();
  }
}

function readingOf(corpus: string, options: CorpusOptions) {
  const meter = { read: 0, total: 0 };
  let badRows = 0;
  let begun = performance.now();
  let phase: BuildProgress["phase"] = "reading";
  const onBadRow = (error: DataError) => {
    badRows++;
    options.onBadRow?.(error.message);
  };
  return {
    passages: passagesOf(corpus, { meter, ...(options.skipBad ? { onBadRow } : {}) }),
    badRows: () => badRows,
    onProgress: (progress: BuildProgress) => {
      if (progress.phase !== phase) begun = performance.now();
      phase = progress.phase;
      const fraction = progress.fraction ?? (meter.total > 0 ? meter.read / meter.total : 0);
      const elapsed = (performance.now() - begun) / 1000;
      const secondsLeft = fraction > 0 ? elapsed / fraction - elapsed : Number.POSITIVE_INFINITY;
      options.onCorpusProgress?.({ ...progress, fraction, secondsLeft });
    },
  };
}

export async function* passagesOf(corpus: string, options: ReadOptions = {}): AsyncGenerator<Passage> {
  let isEmpty = true;
  for await (const passage of readCorpus(corpus, options)) {
    isEmpty = false;
    yield passage;
  }
  if (isEmpty)
    throw new DataError(`${corpus} holds no passage`, {
      hint: "give a file with at least one row of id, title and text",
    });
}
