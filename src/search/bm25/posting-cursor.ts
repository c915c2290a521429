import { type CheckedFile, damaged } from "./checked-file.ts";
import type { TermEntry } from "./dictionary.ts";
import { BLOCK, CAP, PAGE } from "./format.ts";
import { DIRECTORY_ENTRY, hasDirectory, PostingBlock } from "./postings.ts";
import { type Norms, termScore } from "./score.ts";
import type { ScoreWindow, WindowPostings } from "./score-window.ts";
import type { Lengths } from "./segment-reader.ts";
import { VarintReader } from "./varint.ts";

/** A number greater than every passage that is still a small integer for the compiler. */
export const END = 0x7fffffff;
/** For a term whose blocks are closer together, block bounds are hardly tighter than its maximum score. */
const MOST_BOUNDS = 16;

export interface PostingSource {
  readonly file: CheckedFile;
  readonly entry: TermEntry;
  readonly idf: number;
  readonly norms: Norms;
  /** By passage. */
  readonly lengths: Lengths;
}

const nothing = new Uint8Array();

/**
 * Iterates over the postings of one term in passage order and reads a block only when necessary. It is reused for many
 * terms.
 */
export class PostingCursor {
  /** Upper bound of this term's score in any passage. */
  bound = 0;
  /** The current passage; END after the last. */
  passage = -1;

  #source!: PostingSource;
  #idf = 0;
  /** A copy of the directory. Only the first `#blocks` entries are valid, and none for a term without a directory. */
  #directory = new DataView(new ArrayBuffer(1 << 10));
  #hasDirectory = false;
  #blocks = 0;
  /** Where the blocks begin. */
  #from = 0;
  /** The first block that ends at or after the latest target; at or after the decoded block. */
  #shallow = 0;
  #decoded = -1;
  /** The last passage of the decoded block. */
  #decodedLast = -1;
  /** No passage of the decoded block has a smaller norm than this. */
  #leastNorm = 0;
  readonly #block = new PostingBlock();
  readonly #reader = new VarintReader(nothing);
  #index = 0;

  /** Starts before the first passage. @throws SearchError if the term's list is damaged */
  start(source: PostingSource): void {
    const { entry, lengths, idf } = source;
    this.#source = source;
    this.#idf = idf;
    this.passage = -1;
    this.#shallow = 0;
    this.#decoded = -1;
    this.#decodedLast = -1;
    if (entry.holders > lengths.length || entry.holders === 0) this.#damaged();
    this.#blocks = Math.ceil(entry.holders / BLOCK);
    this.#hasDirectory = hasDirectory(entry.holders);
    this.#from = entry.from + (this.#hasDirectory ? this.#blocks * DIRECTORY_ENTRY : 0);
    this.bound = this.#hasDirectory ? this.#readDirectory() : this.#readOnlyBlock();
  }

  /** Advances to the first passage ≥ target. Targets must not decrease. */
  seek(target: number): void {
    if (this.passage >= target) return;
    if (target > this.#decodedLast) {
      const block = this.#blockOf(target);
      if (block === this.#blocks) {
        this.passage = END;
        return;
      }
      if (block !== this.#decoded) this.#decode(block);
    }
    const { passages, count } = this.#block;
    let index = this.#index;
    while (index + 8 < count && passages[index + 8]! < target) index += 8;
    while (passages[index]! < target) index++;
    this.#index = index;
    this.passage = passages[index]!;
  }

  /** Frequency of the term in the current passage. */
  frequency(): number {
    return this.#block.frequencies[this.#index]!;
  }

  /** Bounds the term's part of the current passage's score without reading the passage's length. */
  partBound(): number {
    return termScore(this.#idf, this.#block.frequencies[this.#index]!, this.#leastNorm);
  }

  /** The term's part of a score. */
  part(frequency: number, norm: number): number {
    return termScore(this.#idf, frequency, norm);
  }

  /**
   * Adds all postings from the current one to the end of the window, and advances there. The window gets bounds of the
   * term's parts, not exact values: reading the lengths of that many passages would be slow, and few passages become
   * candidates.
   */
  drain(window: ScoreWindow, taken: WindowPostings): void {
    const { passages, frequencies } = this.#block;
    const { from, end } = window;
    let count = 0;
    while (this.passage < end) {
      const inBlock = this.#block.count;
      const ofOne = termScore(this.#idf, 1, this.#leastNorm);
      let index = this.#index;
      for (; index < inBlock && passages[index]! < end; index++) {
        const place = passages[index]! - from;
        const frequency = frequencies[index]!;
        taken.places[count] = place;
        taken.frequencies[count++] = frequency;
        window.add(place, frequency === 1 ? ofOne : termScore(this.#idf, frequency, this.#leastNorm));
      }
      this.#index = index;
      if (index < inBlock) this.passage = passages[index]!;
      else this.#nextBlock();
    }
    taken.count = count;
  }

  /** Adds the term's part to the scores of all passages up to the end of the window, and advances there. */
  drainExactly(window: ScoreWindow): void {
    const { norms, lengths } = this.#source;
    for (; this.passage < window.end; this.seek(this.passage + 1))
      window.add(this.passage - window.from, this.part(this.frequency(), norms.of(lengths[this.passage]!)));
  }

  /**
   * Bounds the term's part of the score of any passage in [from, to], without reading a block. `from` must not
   * decrease.
   */
  boundIn(from: number, to: number): number {
    const first = this.#blockOf(from);
    if (first === this.#blocks) return 0;
    if (!this.#hasDirectory) return this.bound;
    let bound = 0;
    for (let block = first; block < this.#blocks; block++) {
      if (block === first + MOST_BOUNDS) return this.bound;
      const greatest = this.#directory.getUint16(block * DIRECTORY_ENTRY + 8, true);
      const ofBlock = greatest === CAP ? this.#idf : termScore(this.#idf, greatest, this.#leastNormOf(block));
      if (ofBlock > bound) bound = ofBlock;
      if (this.#lastOf(block) >= to) break;
    }
    return bound;
  }

  #nextBlock(): void {
    if (this.#decoded + 1 === this.#blocks) {
      this.passage = END;
      return;
    }
    this.#decode(this.#decoded + 1);
    this.passage = this.#block.passages[0]!;
  }

  #lastOf(block: number): number {
    return this.#hasDirectory ? this.#directory.getInt32(block * DIRECTORY_ENTRY, true) : this.#decodedLast;
  }

  #leastNormOf(block: number): number {
    return this.#source.norms.of(this.#directory.getUint16(block * DIRECTORY_ENTRY + 10, true));
  }

  #endOf(block: number): number {
    if (!this.#hasDirectory) return this.#source.entry.to;
    return this.#from + this.#directory.getUint32(block * DIRECTORY_ENTRY + 4, true);
  }

  /** Galloping search: the step doubles, then a binary search follows. Targets are near and far. */
  #blockOf(target: number): number {
    let low = this.#shallow;
    if (low === this.#blocks || this.#lastOf(low) >= target) return low;
    let step = 1;
    for (; low + step < this.#blocks && this.#lastOf(low + step) < target; step *= 2) low += step;
    let high = Math.min(low + step, this.#blocks);
    low++;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lastOf(middle) < target) low = middle + 1;
      else high = middle;
    }
    this.#shallow = low;
    return low;
  }

  /** @returns a bound of the term's scores */
  #readDirectory(): number {
    const { file, entry, lengths } = this.#source;
    const size = this.#from - entry.from;
    if (size > this.#directory.byteLength) this.#directory = new DataView(new ArrayBuffer(size * 2));
    file.copy(entry.from, this.#from, new Uint8Array(this.#directory.buffer));
    const last = this.#blocks - 1;
    if (this.#endOf(last) !== entry.to || this.#lastOf(last) >= lengths.length) this.#damaged();
    return this.#idf;
  }

  /** For a term without a directory. @returns a bound of the term's scores */
  #readOnlyBlock(): number {
    this.#decode(0);
    const { passages, frequencies, count } = this.#block;
    const { norms, lengths } = this.#source;
    let greatest = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      greatest = Math.max(greatest, frequencies[i]!);
      least = Math.min(least, lengths[passages[i]!]!);
    }
    this.#leastNorm = norms.of(least);
    return termScore(this.#idf, greatest, this.#leastNorm);
  }

  #decode(block: number): void {
    const { file, entry, lengths } = this.#source;
    const from = block === 0 ? this.#from : this.#endOf(block - 1);
    const to = this.#endOf(block);
    const reader = this.#reader;
    const page = file.pageWith(from, to);
    reader.bytes = page ?? file.read(from, to);
    reader.position = page === undefined ? 0 : from % PAGE;
    reader.end = reader.position + to - from;
    const isLast = block === this.#blocks - 1;
    const before = block === 0 ? -1 : this.#lastOf(block - 1);
    this.#block.read(reader, isLast ? entry.holders - block * BLOCK : BLOCK, before);
    const last = this.#block.passages[this.#block.count - 1]!;
    if (reader.position !== reader.end || last >= lengths.length) this.#damaged();
    if (this.#hasDirectory && last !== this.#lastOf(block)) this.#damaged();
    this.#decoded = block;
    this.#decodedLast = last;
    this.#leastNorm = this.#hasDirectory ? this.#leastNormOf(block) : 0;
    this.#index = 0;
  }

  #damaged(): never {
    throw damaged(`${this.#source.file.path} is damaged: a list of postings is inconsistent`);
  }
}
