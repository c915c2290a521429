import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { ConfigError, DataError, InterruptedError } from "../../base/errors.ts";
import { fsyncDirectory } from "../../base/files.ts";
import type { Passage } from "../../protocol/passage.ts";
import { type AnalyzerName, analyzerNames, analyzerOf, defaultAnalyzer } from "../analyzer.ts";
import { MANIFEST, PROGRESS } from "./format.ts";
import { IndexFolder, SEGMENT_PASSAGES } from "./index-folder.ts";
import { type IndexSettings, readManifest } from "./manifest.ts";
import { skipIndexed } from "./resumed-corpus.ts";
import { type Bm25, bm25Parameters } from "./score.ts";
import { segmentsOf } from "./segment-feed.ts";
import { withWriteErrors } from "./writing.ts";

export interface BuildProgress {
  readonly phase: "reading" | "merging";
  /** Passages read so far. */
  readonly passages: number;
  /** Progress of the phase; unknown while reading. */
  readonly fraction?: number;
}

export interface BuildOptions extends Partial<Bm25> {
  readonly analyzer?: AnalyzerName;
  /** Maximum number of passages in a segment of the finished index. */
  readonly segmentPassages?: number;
  /** Maximum number of passages in a segment before merging; together with `threads` it limits memory. */
  readonly runPassages?: number;
  /** Threads that tokenise texts; with 2 or more they run beside this one. */
  readonly threads?: number;
  readonly onProgress?: (progress: BuildProgress) => void;
  /** Replaces an existing index, but never a folder that contains anything else. */
  readonly overwrite?: boolean;
  /** Continues a stopped build with the same corpus and settings; starts a new one if there is none. */
  readonly resume?: boolean;
  /** Stops the build in such a way that it can be resumed. */
  readonly signal?: AbortSignal;
}

export interface BuildReport {
  readonly passages: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** Sorting 2 M postings of a segment takes about 35 MB, and its terms as much again. */
export const RUN_PASSAGES = 25_000;
/** One thread reads; additional writers would only wait for it. */
const MOST_THREADS = 6;

/** The folder in which an index is built before it is moved to its destination. */
export const buildingFolder = (directory: string) => `${resolve(directory)}.building`;

/**
 * Builds an index next to `directory` and moves it there when it is complete. A failed build leaves nothing; a build
 * that was stopped by the signal or by a crash can be resumed. There may be one writer at a time: the command line
 * holds a lock.
 * @throws ConfigError if the destination exists or cannot be written; DataError if the corpus is empty or invalid;
 * InterruptedError if the signal stopped it
 */
export async function buildIndex(
  corpus: AsyncIterable<Passage>,
  directory: string,
  options: BuildOptions = {},
): Promise<BuildReport> {
  const start = performance.now();
  const settings = settingsOf(options);
  const target = resolve(directory);
  const building = buildingFolder(directory);
  checkTarget(target, options.overwrite ?? false);
  return withWriteErrors(directory, async () => {
    mkdirSync(dirname(target), { recursive: true });
    if (!(options.resume && existsSync(join(building, MANIFEST)))) {
      const folder = folderFor(building, settings, options);
      try {
        await fill(folder, corpus, options);
      } catch (error) {
        if (!(error instanceof InterruptedError)) rmSync(building, { recursive: true, force: true });
        throw error;
      }
      folder.finish();
    }
    moveIntoPlace(building, target);
    return { ...sizeOf(target), seconds: (performance.now() - start) / 1000 };
  });
}

function settingsOf(options: BuildOptions): IndexSettings {
  const analyzer = options.analyzer ?? defaultAnalyzer.name;
  if (analyzerOf(analyzer) === undefined)
    throw new ConfigError(`analyzer is "${analyzer}"`, { hint: `give one of ${analyzerNames.join(", ")}` });
  for (const key of ["segmentPassages", "runPassages", "threads"] as const) {
    const value = options[key] ?? 1;
    if (!Number.isInteger(value) || value < 1)
      throw new ConfigError(`${key} is ${value}`, { hint: "give a whole number ≥ 1" });
  }
  return { analyzer, ...bm25Parameters(options) };
}

function folderFor(building: string, settings: IndexSettings, options: BuildOptions): IndexFolder {
  const begun = options.resume || !options.overwrite ? IndexFolder.resume(building) : undefined;
  if (begun === undefined || begun.passages === 0) return IndexFolder.create(building, settings);
  if (!options.resume)
    throw new ConfigError(`${building} holds ${begun.passages} passages of a build that was stopped`, {
      hint: "continue with --resume, or start again with --overwrite",
    });
  for (const key of ["analyzer", "k1", "b"] as const) {
    if (begun.settings[key] !== settings[key])
      throw new ConfigError(`the build was started with ${key} ${begun.settings[key]}, not ${settings[key]}`, {
        hint: "resume it with the same settings, or start again with --overwrite",
      });
  }
  return begun;
}

async function fill(folder: IndexFolder, corpus: AsyncIterable<Passage>, options: BuildOptions): Promise<void> {
  const { signal, onProgress } = options;
  const limit = options.segmentPassages ?? SEGMENT_PASSAGES;
  const known = folder.passages;
  const fresh = segmentsOf(skipIndexed(corpus, folder.segments), {
    directory: folder.directory,
    analyzer: folder.settings.analyzer as AnalyzerName,
    nextName: () => folder.nextName(),
    passages: Math.min(limit, options.runPassages ?? RUN_PASSAGES),
    threads: options.threads ?? Math.min(MOST_THREADS, availableParallelism()),
    signal,
    onProgress: (passages) => onProgress?.({ phase: "reading", passages: known + passages }),
  });
  for await (const segment of fresh) folder.commit([...folder.segments, segment]);
  const { passages, directory } = folder;
  if (signal?.aborted) throw stopped(directory, passages);
  if (passages === 0)
    throw new DataError("the corpus holds no passage", {
      hint: "give a file with at least one row of id, title and text",
    });
  await folder
    .merge(limit, { signal, onProgress: ({ fraction }) => onProgress?.({ phase: "merging", passages, fraction }) })
    .catch((error) => {
      throw signal?.aborted ? stopped(directory, passages) : error;
    });
}

function stopped(directory: string, passages: number): InterruptedError {
  return new InterruptedError(`stopped; ${passages} passages are safe in ${directory}`, {
    hint: "run the same command again with --resume",
  });
}

export function checkTarget(target: string, overwrite: boolean): void {
  if (!existsSync(target)) return;
  if (!overwrite)
    throw new ConfigError(`${target} exists`, { hint: "choose another folder, or allow it to be overwritten" });
  if (!isIndexOrEmpty(target)) {
    throw new ConfigError(`${target} exists and is not an index`, {
      hint: "only an index can be overwritten: choose another folder",
    });
  }
}

/** A damaged index also counts, BM25 or dense: its manifest names the format. */
function isIndexOrEmpty(target: string): boolean {
  try {
    return (
      readdirSync(target).length === 0 ||
      /"r1-searcher\/(bm25|dense)"/.test(readFileSync(join(target, MANIFEST), "utf8"))
    );
  } catch {
    return false; // a file, or a folder without a manifest
  }
}

/** Between the two renames there is no index, but never half of one; a resumed build handles both cases. */
export function moveIntoPlace(temporary: string, target: string): void {
  const old = `${target}.replaced`;
  if (existsSync(target)) {
    rmSync(old, { recursive: true, force: true });
    renameSync(target, old);
  }
  renameSync(temporary, target);
  fsyncDirectory(dirname(target));
  rmSync(old, { recursive: true, force: true });
}

export function sizeOf(directory: string): { passages: number; bytes: number } {
  const { passages } = readManifest(directory);
  const files = readdirSync(directory).filter((name) => name !== PROGRESS);
  return { passages, bytes: files.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0) };
}
