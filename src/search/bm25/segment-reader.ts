import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { DataError, SearchError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import type { SegmentManifest, SegmentPart } from "./format.ts";

const TERM_HEADER = 8;
const TERM_ENTRY = 16;

export interface TermEntry {
  readonly holders: number;
  /** Byte range in the postings file. */
  readonly from: number;
  readonly to: number;
}

/** One segment: terms and lengths in memory, postings and passages read when asked for. */
export class SegmentReader {
  readonly passages: number;
  readonly lengths: Uint32Array;
  readonly postingsFile: string;
  readonly #passagesFile: string;
  readonly #terms: Buffer;
  readonly #termCount: number;
  readonly #handles: { readonly postings: number; readonly passages: number; readonly offsets: number };

  /** @throws DataError where the files contradict each other or the manifest */
  constructor(directory: string, manifest: SegmentManifest) {
    const path = (part: SegmentPart) => join(directory, `${manifest.name}.${part}`);
    this.passages = manifest.passages;
    this.postingsFile = path("postings");
    this.#passagesFile = path("passages.jsonl");
    this.lengths = readLengths(path("lengths"), manifest);
    this.#terms = readFileSync(path("terms"));
    this.#termCount = this.#terms.length < TERM_HEADER ? Number.NaN : u64(this.#terms, 0);
    const textFrom = TERM_HEADER + this.#termCount * TERM_ENTRY;
    const last = TERM_HEADER + (this.#termCount - 1) * TERM_ENTRY;
    const textBytes =
      this.#termCount === 0 ? 0 : textFrom <= this.#terms.length ? this.#terms.readUInt32LE(last) : Number.NaN;
    if (textFrom + textBytes !== this.#terms.length)
      throw new DataError(`${path("terms")} is damaged`, { hint: "build the index again" });
    this.#handles = openAll({ postings: this.postingsFile, passages: this.#passagesFile, offsets: path("offsets") });
  }

  /** Binary search by UTF-8 bytes. */
  find(term: string): TermEntry | undefined {
    const wanted = Buffer.from(term);
    const texts = TERM_HEADER + this.#termCount * TERM_ENTRY;
    let low = 0;
    let high = this.#termCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const from = middle === 0 ? 0 : this.#terms.readUInt32LE(TERM_HEADER + (middle - 1) * TERM_ENTRY);
      const to = this.#terms.readUInt32LE(TERM_HEADER + middle * TERM_ENTRY);
      const order = wanted.compare(this.#terms, texts + from, texts + to);
      if (order === 0) return this.#entry(middle);
      if (order < 0) high = middle;
      else low = middle + 1;
    }
    return undefined;
  }

  postings({ from, to }: TermEntry): Uint8Array {
    return readExactly(this.#handles.postings, { file: this.postingsFile, from, to });
  }

  passage(index: number): Passage {
    const offsets = readExactly(this.#handles.offsets, {
      file: this.#passagesFile,
      from: index * 8,
      to: index * 8 + 16,
    });
    const record = readExactly(this.#handles.passages, {
      file: this.#passagesFile,
      from: u64(offsets, 0),
      to: u64(offsets, 8),
    });
    try {
      const { id, title, text } = JSON.parse(record.toString("utf8")) as Passage;
      return { id, title, text };
    } catch (cause) {
      throw new SearchError(`${this.#passagesFile}: the record of passage ${index} is damaged`, {
        hint: "build the index again",
        cause,
      });
    }
  }

  close(): void {
    for (const handle of Object.values(this.#handles)) closeSync(handle);
  }

  #entry(index: number): TermEntry {
    const at = TERM_HEADER + index * TERM_ENTRY;
    const from = index === 0 ? 0 : u64(this.#terms, at - TERM_ENTRY + 8);
    return { holders: this.#terms.readUInt32LE(at + 4), from, to: u64(this.#terms, at + 8) };
  }
}

function openAll<Name extends string>(files: Record<Name, string>): Record<Name, number> {
  const opened: [string, number][] = [];
  try {
    for (const [name, file] of Object.entries<string>(files)) opened.push([name, openSync(file, "r")]);
  } catch (error) {
    for (const [, handle] of opened) closeSync(handle);
    throw error;
  }
  return Object.fromEntries(opened) as Record<Name, number>;
}

function readLengths(file: string, manifest: SegmentManifest): Uint32Array {
  const bytes = readFileSync(file);
  const lengths = new Uint32Array(bytes.length >> 2);
  let sum = 0;
  for (let i = 0; i < lengths.length; i++) sum += lengths[i] = bytes.readUInt32LE(i * 4);
  if (bytes.length !== manifest.passages * 4 || sum !== manifest.tokens) {
    throw new DataError(
      `${file} does not add up to the ${manifest.tokens} terms of ${manifest.passages} passages that the manifest names`,
      {
        hint: "build the index again",
      },
    );
  }
  return lengths;
}

/** @throws SearchError where the range is not in the file */
function readExactly(handle: number, { file, from, to }: { file: string; from: number; to: number }): Buffer {
  const size = to - from;
  if (!(size >= 0 && size <= 0x7fffffff))
    throw new SearchError(`${file} is damaged: a range of ${size} bytes`, { hint: "build the index again" });
  const bytes = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; ) {
    const read = readSync(handle, bytes, at, size - at, from + at);
    if (read === 0) throw new SearchError(`${file} ends early`, { hint: "build the index again" });
    at += read;
  }
  return bytes;
}

function u64(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}
