import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { ConfigError, DataError, messageOf, R1SearcherError } from "../../base/errors.ts";
import { fsyncDirectory, writeDurably } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import type { Passage } from "../../protocol/passage.ts";
import { ANALYZER } from "../analyzer.ts";
import { FORMAT, MANIFEST, type Manifest, type SegmentManifest, VERSION } from "./format.ts";
import { manifestHash } from "./manifest.ts";
import { type Bm25, bm25Parameters } from "./score.ts";
import { SegmentWriter } from "./segment-writer.ts";

export interface BuildOptions extends Partial<Bm25> {
  /** Passages per segment; with the limit on postings below it bounds memory. */
  readonly segmentPassages?: number;
  readonly onProgress?: (progress: { readonly passages: number }) => void;
  /** Replaces an index that is there; never a folder that holds anything else. */
  readonly overwrite?: boolean;
}

export interface BuildReport {
  readonly passages: number;
  readonly bytes: number;
  readonly seconds: number;
}

const SEGMENT_PASSAGES = 200_000;
/** 12 M postings take about 300 MB while a segment is sorted; it also keeps a segment's terms below a Map's 2²⁴ entries. */
const SEGMENT_POSTINGS = 12_000_000;
const PROGRESS_EVERY = 1000;

/**
 * Builds an index next to `directory` and moves it there when it is whole; a failure leaves nothing.
 * @throws ConfigError where the target exists or cannot be written; DataError where the corpus is empty or bad
 */
export async function buildIndex(
  corpus: AsyncIterable<Passage>,
  directory: string,
  options: BuildOptions = {},
): Promise<BuildReport> {
  const start = performance.now();
  const bm25 = bm25Parameters(options);
  const segmentPassages = options.segmentPassages ?? SEGMENT_PASSAGES;
  if (!Number.isInteger(segmentPassages) || segmentPassages < 1) {
    throw new ConfigError(`segmentPassages is ${segmentPassages}`, { hint: "give a whole number ≥ 1" });
  }
  const target = resolve(directory);
  checkTarget(target, options.overwrite ?? false);
  const temporary = makeTemporary(target);
  try {
    const written = await writeSegments(corpus, temporary, { segmentPassages, onProgress: options.onProgress });
    const body: Omit<Manifest, "sha256"> = {
      format: FORMAT,
      version: VERSION,
      analyzer: ANALYZER,
      ...bm25,
      ...written,
    };
    const manifest = `${toJson({ ...body, sha256: manifestHash(body) }, 2)}\n`;
    writeDurably(join(temporary, MANIFEST), manifest);
    fsyncDirectory(temporary);
    moveIntoPlace(temporary, target);
    const bytes = written.segments
      .flatMap(({ files }) => files)
      .reduce((sum, { size }) => sum + size, Buffer.byteLength(manifest));
    return { passages: written.passages, bytes, seconds: (performance.now() - start) / 1000 };
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw explained(error, directory);
  }
}

function makeTemporary(target: string): string {
  const temporary = `${target}.building-${process.pid}`;
  try {
    mkdirSync(dirname(target), { recursive: true });
    rmSync(temporary, { recursive: true, force: true }); // a dead process had our number
    mkdirSync(temporary);
  } catch (error) {
    throw explained(error, target);
  }
  return temporary;
}

async function writeSegments(
  corpus: AsyncIterable<Passage>,
  directory: string,
  { segmentPassages, onProgress }: { segmentPassages: number; onProgress: BuildOptions["onProgress"] },
): Promise<{ passages: number; corpus: string; segments: SegmentManifest[] }> {
  const segments: SegmentManifest[] = [];
  const hash = createHash("sha256");
  let passages = 0;
  let segment: SegmentWriter | undefined;
  try {
    for await (const passage of corpus) {
      segment ??= new SegmentWriter(directory, `segment-${String(segments.length).padStart(6, "0")}`);
      hash.update(segment.add(passage));
      passages++;
      if (passages % PROGRESS_EVERY === 0) onProgress?.({ passages });
      if (segment.passages >= segmentPassages || segment.postings >= SEGMENT_POSTINGS) {
        segments.push(segment.finish());
        segment = undefined;
      }
    }
    if (segment !== undefined) segments.push(segment.finish());
  } finally {
    segment?.close();
  }
  if (passages === 0)
    throw new DataError("the corpus holds no passage", {
      hint: "give a file with at least one row of id, title and text",
    });
  onProgress?.({ passages });
  return { passages, corpus: hash.digest("hex"), segments };
}

function checkTarget(target: string, overwrite: boolean): void {
  if (!existsSync(target)) return;
  if (!overwrite)
    throw new ConfigError(`${target} exists`, { hint: "choose another folder, or allow it to be overwritten" });
  if (!isIndexOrEmpty(target)) {
    throw new ConfigError(`${target} exists and is not an index`, {
      hint: "only an index is ever overwritten: choose another folder",
    });
  }
}

/** A damaged index of ours still counts: its manifest names the format. */
function isIndexOrEmpty(target: string): boolean {
  try {
    return readdirSync(target).length === 0 || readFileSync(join(target, MANIFEST), "utf8").includes(`"${FORMAT}"`);
  } catch {
    return false; // a file, or a folder without a manifest
  }
}

/** Between the two renames there is no index, never half of one. */
function moveIntoPlace(temporary: string, target: string): void {
  const old = `${target}.replaced-${process.pid}`;
  const replaces = existsSync(target);
  if (replaces) renameSync(target, old);
  renameSync(temporary, target);
  fsyncDirectory(dirname(target));
  if (replaces) rmSync(old, { recursive: true, force: true });
}

/** A full disk and a folder that cannot be written are the user's to mend; the rest keeps its stack. */
function explained(error: unknown, directory: string): unknown {
  if (error instanceof R1SearcherError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const hints: Record<string, string> = {
    ENOSPC: `the disk is full: free space or choose another folder, an index of ${basename(directory)} needs about twice its corpus`,
    EDQUOT: "the disk quota is used up: free space or choose another folder",
    EFBIG: "the file system allows no file this large: choose another folder",
    EACCES: "you may not write there: choose another folder",
    EPERM: "you may not write there: choose another folder",
    EROFS: "that file system is read-only: choose another folder",
    ENOTDIR: "a part of that path is a file: choose another folder",
    EEXIST: "something of that name is in the way: choose another folder",
    ENOTEMPTY: "that folder was filled while the index was built: choose another folder",
  };
  if (code === undefined || hints[code] === undefined) return error;
  return new ConfigError(`index ${directory} cannot be written: ${messageOf(error)}`, {
    hint: hints[code],
    cause: error,
  });
}
