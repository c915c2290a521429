/** @file The postings of one term in a segment: writing them, and reading one block. */
import { damaged } from "./checked-file.ts";
import { BLOCK, CAP } from "./format.ts";
import type { OutputFile } from "./output-file.ts";
import { type VarintReader, VarintWriter } from "./varint.ts";

export const DIRECTORY_ENTRY = 12;

/** Whether a term in this many passages has a directory of its blocks. */
export const hasDirectory = (holders: number) => holders > BLOCK;

/** Writes terms one after the other, each with its passages in order. */
export class PostingsWriter {
  readonly #file: OutputFile;
  readonly #directory = new VarintWriter();
  readonly #blocks = new VarintWriter();
  #holders = 0;
  #before = -1;
  #inBlock = 0;
  #greatest = 0;
  #least = CAP;

  constructor(file: OutputFile) {
    this.#file = file;
  }

  add(passage: number, frequency: number, length: number): void {
    const gap = passage - this.#before - 1;
    this.#before = passage;
    if (frequency === 1) {
      this.#blocks.add(gap * 2);
    } else {
      this.#blocks.add(gap * 2 + 1);
      this.#blocks.add(frequency - 2);
    }
    if (frequency > this.#greatest) this.#greatest = frequency;
    if (length < this.#least) this.#least = length;
    this.#holders++;
    if (++this.#inBlock === BLOCK) this.#endBlock();
  }

  /** Writes the current term. */
  endTerm(): { holders: number; from: number; to: number } {
    if (this.#inBlock > 0) this.#endBlock();
    const holders = this.#holders;
    const from = this.#file.size;
    if (hasDirectory(holders)) this.#file.write(this.#directory.view());
    this.#file.write(this.#blocks.view());
    this.#directory.clear();
    this.#blocks.clear();
    this.#holders = 0;
    this.#before = -1;
    return { holders, from, to: this.#file.size };
  }

  #endBlock(): void {
    this.#directory.u32(this.#before);
    this.#directory.u32(this.#blocks.length);
    this.#directory.u16(Math.min(this.#greatest, CAP));
    this.#directory.u16(this.#least);
    this.#inBlock = 0;
    this.#greatest = 0;
    this.#least = CAP;
  }
}

/** Memory for one decoded block. */
export class PostingBlock {
  readonly passages = new Int32Array(BLOCK);
  readonly frequencies = new Int32Array(BLOCK);
  count = 0;

  /**
   * Reads `count` postings from the reader's position.
   * @param before the last passage of the previous block, or −1
   */
  read(reader: VarintReader, count: number, before: number): void {
    const { passages, frequencies } = this;
    const { bytes } = reader;
    let passage = before;
    let at = reader.position;
    for (let i = 0; i < count; i++) {
      // avoids a branch on one or two bytes, which the processor cannot predict; longer varints are rare
      const low = bytes[at]!;
      const high = bytes[at + 1]!;
      const isTwo = low >> 7;
      let gap = (low & 127) | ((high << 7) & -isTwo);
      at += 1 + isTwo;
      if ((low & high) > 127) {
        reader.position = at - 2;
        gap = reader.next();
        at = reader.position;
      }
      passage += (gap >>> 1) + 1;
      passages[i] = passage;
      let frequency = 1;
      if ((gap & 1) !== 0) {
        reader.position = at;
        frequency = reader.next() + 2;
        at = reader.position;
      }
      frequencies[i] = frequency;
    }
    reader.position = at;
    this.count = count;
  }
}

/** Calls `take` with each posting of a term, in order. */
export function forEachPosting(
  list: {
    readonly reader: VarintReader;
    readonly holders: number;
    readonly block: PostingBlock;
    readonly path: string;
  },
  take: (passage: number, frequency: number) => void,
): void {
  const { reader, holders, block, path } = list;
  if (hasDirectory(holders)) reader.position += Math.ceil(holders / BLOCK) * DIRECTORY_ENTRY;
  let before = -1;
  for (let left = holders; left > 0; left -= block.count) {
    block.read(reader, Math.min(BLOCK, left), before);
    for (let i = 0; i < block.count; i++) take(block.passages[i]!, block.frequencies[i]!);
    before = block.passages[block.count - 1]!;
  }
  if (reader.position !== reader.end) throw damaged(`${path} is damaged: a list of postings is inconsistent`);
}
