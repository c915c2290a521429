/** @file What an index takes, for plans. Constants were measured with `npm run bench:search`. */
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

const PROGRAM_BYTES = 150e6;
const THREAD_BYTES = 110e6;
/** Of the segments that are merged: the length of each, as it is read and as it is kept. */
const PASSAGE_BYTES = 8;

export function memoryOfBuild({ passages, threads }: { readonly passages: number; readonly threads: number }): number {
  return PROGRAM_BYTES + threads * THREAD_BYTES + Math.min(passages, SEGMENT_PASSAGES) * PASSAGE_BYTES;
}
