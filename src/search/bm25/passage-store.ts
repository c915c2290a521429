/** @file Passages compressed in small groups, so that each can be read without decompressing the others. */
import { gunzipSync, gzipSync } from "node:zlib";
import type { SearchError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import { type CheckedFile, damaged } from "./checked-file.ts";
import { CAP } from "./format.ts";
import type { OutputFile } from "./output-file.ts";

/** A hit decompresses one gzip member: twice this size would make a search a third slower and save seven percent. */
const MEMBER_BYTES = 4096;
/** A higher level is slower and saves two percent. */
const LEVEL = 3;
const OFFSET = 8;

export class PassageStoreWriter {
  readonly #passages: OutputFile;
  readonly #offsets: OutputFile;
  #waiting: Uint8Array[] = [];
  #bytes = 0;

  constructor(files: { readonly passages: OutputFile; readonly offsets: OutputFile }) {
    this.#passages = files.passages;
    this.#offsets = files.offsets;
  }

  add(record: Uint8Array): void {
    this.#offsets.u48(this.#passages.size);
    this.#offsets.u16(this.#waiting.length);
    this.#waiting.push(record);
    this.#bytes += record.byteLength;
    if (this.#bytes >= MEMBER_BYTES || this.#waiting.length > CAP) this.finish();
  }

  /** Writes the last member. */
  finish(): void {
    if (this.#waiting.length > 0)
      this.#passages.write(gzipSync(Buffer.concat(this.#waiting), { level: LEVEL, chunkSize: MEMBER_BYTES }));
    this.#waiting = [];
    this.#bytes = 0;
  }
}

/** Appends another store without decompressing it. */
export function copyPassages(
  from: { readonly passages: CheckedFile; readonly offsets: CheckedFile },
  to: { readonly passages: OutputFile; readonly offsets: OutputFile },
): void {
  const base = to.passages.size;
  for (const pages of from.passages.pages()) to.passages.write(pages);
  for (const pages of from.offsets.pages()) {
    const entries = Buffer.from(pages.buffer, pages.byteOffset, pages.byteLength); // a page holds a whole number of entries
    for (let at = 0; at < entries.length; at += OFFSET) {
      to.offsets.u48(base + entries.readUIntLE(at, 6));
      to.offsets.u16(entries.readUInt16LE(at + 6));
    }
  }
}

const NEWLINE = 10;

export class PassageStoreReader {
  readonly #passages: CheckedFile;
  readonly #offsets: CheckedFile;
  readonly #count: number;
  /** The member read last: hits of a query are often neighbours. */
  #member: { readonly start: number; readonly lines: Buffer } = { start: -1, lines: Buffer.alloc(0) };

  constructor(files: { readonly passages: CheckedFile; readonly offsets: CheckedFile }) {
    this.#passages = files.passages;
    this.#offsets = files.offsets;
    this.#count = files.offsets.size / OFFSET;
  }

  /** @throws SearchError if the record is damaged */
  passage(index: number): Passage {
    const { start, place } = this.#offset(index);
    if (start !== this.#member.start) this.#member = { start, lines: this.#unpack(index, start) };
    try {
      const { id, title, text } = JSON.parse(lineOf(this.#member.lines, place)) as Passage;
      return { id, title, text };
    } catch (cause) {
      throw this.#damaged(index, cause);
    }
  }

  #offset(index: number): { start: number; place: number } {
    const entry = this.#offsets.read(index * OFFSET, (index + 1) * OFFSET);
    const view = new DataView(entry.buffer, entry.byteOffset, OFFSET);
    return { start: view.getUint32(0, true) + view.getUint16(4, true) * 2 ** 32, place: view.getUint16(6, true) };
  }

  #unpack(index: number, start: number): Buffer {
    let next = index + 1;
    while (next < this.#count && this.#offset(next).start === start) next++;
    const end = next < this.#count ? this.#offset(next).start : this.#passages.size;
    try {
      const packed = this.#passages.read(start, end);
      return gunzipSync(packed, { chunkSize: roomFor(packed) });
    } catch (cause) {
      throw this.#damaged(index, cause);
    }
  }

  #damaged(index: number, cause: unknown): SearchError {
    return damaged(`${this.#passages.path} is damaged: the record of passage ${index}`, cause);
  }
}

/** A gzip member ends with its decompressed size, so a buffer of exactly that size is allocated. */
function roomFor(packed: Uint8Array): number {
  const size = Buffer.from(packed.buffer, packed.byteOffset + packed.length - 4, 4).readUInt32LE();
  return Math.max(64, Math.min(size + 1, 1 << 16));
}

function lineOf(lines: Buffer, place: number): string {
  let from = 0;
  for (let i = 0; i < place; i++) from = lines.indexOf(NEWLINE, from) + 1;
  return lines.toString("utf8", from, lines.indexOf(NEWLINE, from));
}
