import { SearchError } from "../../base/errors.ts";
import { BLOCK } from "./format.ts";
import { termScore } from "./score.ts";
import { VarintReader } from "./varint.ts";

export const END = Number.POSITIVE_INFINITY;

export interface PostingSource {
  readonly bytes: Uint8Array;
  /** How many passages hold the term. */
  readonly holders: number;
  readonly idf: number;
  /** By length in terms. */
  readonly norms: Float64Array;
  /** By passage. */
  readonly lengths: Uint32Array;
  /** Where to look when it is damaged. */
  readonly file: string;
}

/** Walks one term's postings in a segment in passage order; reads a block only when it must. */
export class PostingCursor {
  /** No passage scores more for this term than this. */
  readonly bound: number;
  /** Where it stands; END after the last. */
  passage = -1;
  readonly #source: PostingSource;
  readonly #reader: VarintReader;
  readonly #lastPassages: Float64Array;
  readonly #starts: Float64Array;
  readonly #bounds: Float64Array;
  /** The first block that ends at or after the latest target: at or after the decoded one. */
  #shallow = 0;
  #decoded = -1;
  #hasFrequencies = false;
  readonly #passages = new Float64Array(BLOCK);
  readonly #frequencies = new Float64Array(BLOCK);
  #count = 0;
  #index = 0;

  constructor(source: PostingSource) {
    this.#source = source;
    this.#reader = new VarintReader(source.bytes);
    if (source.holders > source.lengths.length) this.#damaged();
    const blocks = Math.ceil(source.holders / BLOCK);
    this.#lastPassages = new Float64Array(blocks);
    this.#starts = new Float64Array(blocks + 1);
    this.#bounds = new Float64Array(blocks);
    this.bound = this.#readDirectory(blocks);
  }

  /** Moves to the first passage ≥ target. Targets never fall. */
  seek(target: number): void {
    if (this.passage >= target) return;
    const block = this.#blockOf(target);
    if (block === this.#lastPassages.length) {
      this.passage = END;
      return;
    }
    if (block !== this.#decoded) this.#decodePassages(block);
    while (this.#passages[this.#index]! < target) this.#index++;
    this.passage = this.#passages[this.#index]!;
  }

  next(): void {
    this.seek(this.passage + 1);
  }

  /** The term's part of the score of the passage it stands on. */
  score(): number {
    if (!this.#hasFrequencies) this.#decodeFrequencies();
    const { idf, norms, lengths } = this.#source;
    return termScore(idf, this.#frequencies[this.#index]!, norms[lengths[this.passage]!]!);
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
    while (this.#shallow < last.length && last[this.#shallow]! < target) this.#shallow++;
    return this.#shallow;
  }

  #readDirectory(blocks: number): number {
    const { idf, norms, bytes, lengths } = this.#source;
    const reader = this.#reader;
    let last = -1;
    let size = 0;
    let bound = 0;
    for (let block = 0; block < blocks; block++) {
      last += reader.next();
      this.#lastPassages[block] = last;
      this.#starts[block] = size;
      size += reader.next();
      const greatest = reader.next();
      const norm = norms[reader.next()];
      if (norm === undefined) this.#damaged();
      this.#bounds[block] = termScore(idf, greatest, norm);
      bound = Math.max(bound, this.#bounds[block]!);
    }
    this.#starts[blocks] = size;
    if (last >= lengths.length || reader.position + size !== bytes.length) this.#damaged();
    for (let block = 0; block <= blocks; block++) this.#starts[block]! += reader.position;
    return bound;
  }

  #decodePassages(block: number): void {
    const reader = this.#reader;
    reader.position = this.#starts[block]!;
    const blocks = this.#lastPassages.length;
    this.#count = block === blocks - 1 ? this.#source.holders - block * BLOCK : BLOCK;
    let passage = block === 0 ? -1 : this.#lastPassages[block - 1]!;
    for (let i = 0; i < this.#count; i++) {
      passage += reader.next() + 1;
      this.#passages[i] = passage;
    }
    if (passage !== this.#lastPassages[block]) this.#damaged();
    this.#decoded = block;
    this.#hasFrequencies = false;
    this.#index = 0;
  }

  /** The reader stands behind the block's passages. */
  #decodeFrequencies(): void {
    for (let i = 0; i < this.#count; i++) this.#frequencies[i] = this.#reader.next();
    if (this.#reader.position !== this.#starts[this.#decoded + 1]) this.#damaged();
    this.#hasFrequencies = true;
  }

  #damaged(): never {
    throw new SearchError(`${this.#source.file} is damaged: a list of postings does not add up`, {
      hint: "build the index again",
    });
  }
}
