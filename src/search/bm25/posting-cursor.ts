import { type CheckedFile, damaged } from "./checked-file.ts";
import type { TermEntry } from "./dictionary.ts";
import { BLOCK, CAP } from "./format.ts";
import { DIRECTORY_ENTRY, hasDirectory, PostingBlock } from "./postings.ts";
import { type Norms, termScore } from "./score.ts";
import type { Lengths } from "./segment-reader.ts";
import { VarintReader } from "./varint.ts";

export const END = Number.POSITIVE_INFINITY;

export interface PostingSource {
  readonly file: CheckedFile;
  readonly entry: TermEntry;
  readonly idf: number;
  readonly norms: Norms;
  /** By passage. */
  readonly lengths: Lengths;
}

/** Walks one term's postings in a segment in passage order; reads a block only when it must. */
export class PostingCursor {
  /** No passage scores more for this term than this. */
  readonly bound: number;
  /** Where it stands; END after the last. */
  passage = -1;

  readonly #source: PostingSource;
  readonly #lengths: Lengths;
  /** By block: its last passage, where it ends in the file, and a bound of the term's scores in it. */
  readonly #lastPassages: Uint32Array;
  readonly #ends: Float64Array;
  readonly #bounds: Float64Array;
  /** Where the blocks begin. */
  readonly #from: number;
  /** The first block that ends at or after the latest target: at or after the decoded one. */
  #shallow = 0;
  #decoded = -1;
  #decodedLast = -1;
  readonly #block = new PostingBlock();
  #index = 0;

  constructor(source: PostingSource) {
    const { entry, lengths } = source;
    this.#source = source;
    this.#lengths = lengths;
    if (entry.holders > lengths.length || entry.holders === 0) this.#damaged();
    const blocks = Math.ceil(entry.holders / BLOCK);
    this.#lastPassages = new Uint32Array(blocks);
    this.#ends = new Float64Array(blocks);
    this.#bounds = new Float64Array(blocks);
    this.#from = entry.from + (hasDirectory(entry.holders) ? blocks * DIRECTORY_ENTRY : 0);
    this.bound = hasDirectory(entry.holders) ? this.#readDirectory() : this.#readOnlyBlock();
  }

  /** Moves to the first passage ≥ target. Targets never fall. */
  seek(target: number): void {
    if (this.passage >= target) return;
    if (target > this.#decodedLast) {
      const block = this.#blockOf(target);
      if (block === this.#lastPassages.length) {
        this.passage = END;
        return;
      }
      if (block !== this.#decoded) this.#decode(block);
    }
    const { passages } = this.#block;
    let index = this.#index;
    while (passages[index]! < target) index++;
    this.#index = index;
    this.passage = passages[index]!;
  }

  next(): void {
    this.seek(this.passage + 1);
  }

  /** The term's part of the score of the passage it stands on. */
  score(): number {
    const { idf, norms } = this.#source;
    return termScore(idf, this.#block.frequencies[this.#index]!, norms.of(this.#lengths[this.passage]!));
  }

  /** Bounds the term's part of any score from target to `blockEnd(target)`, without reading a block. */
  blockBound(target: number): number {
    const block = this.#blockOf(target);
    return block === this.#bounds.length ? 0 : this.#bounds[block]!;
  }

  blockEnd(target: number): number {
    const block = this.#blockOf(target);
    return block === this.#lastPassages.length ? END : this.#lastPassages[block]!;
  }

  #blockOf(target: number): number {
    const last = this.#lastPassages;
    let block = this.#shallow;
    while (block < last.length && last[block]! < target) block++;
    this.#shallow = block;
    return block;
  }

  /** @returns the greatest of the blocks' bounds */
  #readDirectory(): number {
    const { file, entry, idf, norms, lengths } = this.#source;
    const bytes = file.read(entry.from, this.#from);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let bound = 0;
    for (let block = 0, at = 0; block < this.#bounds.length; block++, at += DIRECTORY_ENTRY) {
      this.#lastPassages[block] = view.getUint32(at, true);
      this.#ends[block] = this.#from + view.getUint32(at + 4, true);
      const greatest = view.getUint16(at + 8, true);
      const norm = norms.of(view.getUint16(at + 10, true));
      this.#bounds[block] = greatest === CAP ? idf : termScore(idf, greatest, norm);
      if (this.#bounds[block]! > bound) bound = this.#bounds[block]!;
    }
    if (this.#ends.at(-1) !== entry.to || this.#lastPassages.at(-1)! >= lengths.length) this.#damaged();
    return bound;
  }

  /** Of a term without a directory. @returns its greatest score */
  #readOnlyBlock(): number {
    this.#ends[0] = this.#source.entry.to;
    this.#decode(0);
    const { passages, frequencies, count } = this.#block;
    const { idf, norms, lengths } = this.#source;
    this.#lastPassages[0] = passages[count - 1]!;
    if (this.#lastPassages[0]! >= lengths.length) this.#damaged();
    for (let i = 0; i < count; i++) {
      const score = termScore(idf, frequencies[i]!, norms.of(lengths[passages[i]!]!));
      if (score > this.#bounds[0]!) this.#bounds[0] = score;
    }
    return this.#bounds[0]!;
  }

  #decode(block: number): void {
    const { file, entry } = this.#source;
    const from = block === 0 ? this.#from : this.#ends[block - 1]!;
    const reader = new VarintReader(file.read(from, this.#ends[block]!));
    const isLast = block === this.#ends.length - 1;
    const before = block === 0 ? -1 : this.#lastPassages[block - 1]!;
    this.#block.read(reader, isLast ? entry.holders - block * BLOCK : BLOCK, before);
    const last = this.#block.passages[this.#block.count - 1]!;
    const isWhole = reader.position === reader.bytes.length;
    if (!isWhole || (last !== this.#lastPassages[block] && hasDirectory(entry.holders))) this.#damaged();
    this.#decoded = block;
    this.#decodedLast = last;
    this.#index = 0;
  }

  #damaged(): never {
    throw damaged(`${this.#source.file.path} is damaged: a list of postings does not add up`);
  }
}
