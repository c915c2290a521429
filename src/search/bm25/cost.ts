/** @file Estimates disk space and memory of an index, for plans. Constants were measured with `npm run bench -- search`. */
import { segmentParts } from "./format.ts";
import { SEGMENT_PASSAGES } from "./index-folder.ts";
import { readManifest } from "./manifest.ts";

/** New words become rarer as a corpus grows (Heaps' law); this share of the dictionary's growth remains. */
const DICTIONARY_GROWTH = 0.7;

/** Bytes of an index of `ratio` times as many passages of the same kind. */
export function sizeOfLarger(directory: string, ratio: number): number {
  let bytes = 0;
  for (const segment of readManifest(directory).segments) {
    for (const [i, part] of segmentParts.entries())
      bytes += segment.bytes[i]! * ratio ** (part === "terms" ? DICTIONARY_GROWTH : 1);
  }
  return Math.round(bytes);
}

/** Bytes of memory: a single thread that does everything; or the reading thread, and each of the writing threads. */
const ALONE_BYTES = 165e6;
const READER_BYTES = 110e6;
const WRITER_BYTES = 110e6;
/** Memory per passage of the segments that are merged: its length, once as read and once as stored. */
const PASSAGE_BYTES = 8;

/**
 * Upper bound of resident memory. It assumes passages of 100 words; with longer ones segments are cut sooner, so they
 * take no more.
 */
export function memoryOfBuild({ passages, threads }: { readonly passages: number; readonly threads: number }): number {
  const building = threads === 1 ? ALONE_BYTES : READER_BYTES + threads * WRITER_BYTES;
  return building + Math.min(passages, SEGMENT_PASSAGES) * PASSAGE_BYTES;
}
