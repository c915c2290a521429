/**
 * @file Adds passages to an existing index, or merges its segments. After a crash the index is as it was at its last
 * commit.
 */
import { availableParallelism } from "node:os";
import { DataError, InterruptedError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import type { AnalyzerName } from "../analyzer.ts";
import { type BuildOptions, type BuildProgress, type BuildReport, RUN_PASSAGES, sizeOf } from "./build.ts";
import { IndexFolder, SEGMENT_PASSAGES } from "./index-folder.ts";
import type { SegmentManifest } from "./manifest-schema.ts";
import { segmentsOf } from "./segment-feed.ts";
import { withWriteErrors } from "./writing.ts";

export type GrowOptions = Pick<BuildOptions, "segmentPassages" | "runPassages" | "threads" | "signal" | "onProgress">;

export interface GrowReport extends BuildReport {
  readonly segments: number;
}

/**
 * Appends a corpus to an index, all of it or nothing, in new segments. It does not check whether the ids are new. There
 * may be one writer at a time: the command line holds a lock.
 * @throws DataError if there is no index or the corpus is empty or invalid; InterruptedError if the signal stopped it
 */
export async function appendToIndex(
  corpus: AsyncIterable<Passage>,
  directory: string,
  options: GrowOptions = {},
): Promise<GrowReport> {
  return growing(directory, async (folder) => {
    const added: SegmentManifest[] = [];
    const known = folder.passages;
    const fresh = segmentsOf(corpus, {
      directory,
      analyzer: folder.settings.analyzer as AnalyzerName,
      nextName: () => folder.nextName(),
      passages: Math.min(options.segmentPassages ?? SEGMENT_PASSAGES, options.runPassages ?? RUN_PASSAGES),
      threads: options.threads ?? Math.min(2, availableParallelism()),
      signal: options.signal,
      onProgress: (passages) => options.onProgress?.({ phase: "reading", passages: known + passages }),
    });
    for await (const segment of fresh) added.push(segment);
    stopIfAsked(directory, options.signal);
    if (added.length === 0)
      throw new DataError("the corpus holds no passage", {
        hint: "give a file with at least one row of id, title and text",
      });
    folder.commit([...folder.segments, ...added]);
  });
}

/** Merges the segments of an index into as few as possible; passages, their order and all results stay the same. */
export async function mergeIndex(directory: string, options: GrowOptions = {}): Promise<GrowReport> {
  return growing(directory, async (folder) => {
    const { signal, onProgress } = options;
    const progress = (fraction: number): BuildProgress => ({ phase: "merging", passages: folder.passages, fraction });
    await folder
      .merge(options.segmentPassages ?? SEGMENT_PASSAGES, {
        signal,
        onProgress: ({ fraction }) => onProgress?.(progress(fraction)),
      })
      .catch((error) => {
        stopIfAsked(directory, signal);
        throw error;
      });
  });
}

async function growing(directory: string, change: (folder: IndexFolder) => Promise<void>): Promise<GrowReport> {
  const start = performance.now();
  return withWriteErrors(directory, async () => {
    const folder = IndexFolder.open(directory);
    try {
      await change(folder);
    } finally {
      folder.removeOrphans();
    }
    return { ...sizeOf(directory), segments: folder.segments.length, seconds: (performance.now() - start) / 1000 };
  });
}

function stopIfAsked(directory: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new InterruptedError(`stopped; ${directory} is unchanged since its last commit`, {
      hint: "run the same command again",
    });
}
