/** @file What an index takes, for plans. Constants were measured with `npm run bench -- search`. */
import { segmentParts } from "./format.ts";
import { SEGMENT_PASSAGES } from "./index-folder.ts";
import { readManifest } from "./manifest.ts";

/** New words grow rarer as a corpus grows (Heaps' law); this much of the dictionary's growth remains. */
const DICTIONARY_GROWTH = 0.7;

/** Bytes of an index over `ratio` times as many passages of the same kind. */
export function sizeOfLarger(directory: string, ratio: number): number {
  let bytes = 0;
  for (const segment of readManifest(directory).segments) {
    for (const [i, part] of segmentParts.entries())
      bytes += segment.bytes[i]! * ratio ** (part === "terms" ? DICTIONARY_GROWTH : 1);
  }
  return Math.round(bytes);
}

/** Of one thread that reads, cuts and writes; or of one that only reads, and of each that then cuts and writes. */
const ALONE_BYTES = 165e6;
const READER_BYTES = 110e6;
const WRITER_BYTES = 110e6;
/** Of the segments that are merged: the length of each, as it is read and as it is kept. */
const PASSAGE_BYTES = 8;

/** Resident, at the most. Passages of 100 words; longer ones are cut into segments sooner, so they take no more. */
export function memoryOfBuild({ passages, threads }: { readonly passages: number; readonly threads: number }): number {
  const building = threads === 1 ? ALONE_BYTES : READER_BYTES + threads * WRITER_BYTES;
  return building + Math.min(passages, SEGMENT_PASSAGES) * PASSAGE_BYTES;
}
