/**
 * @file The terms of a segment on disk: blocks of sorted terms with shared prefixes. The first term of each block is in
 * memory.
 */
import { type CheckedFile, damaged } from "./checked-file.ts";
import type { OutputFile } from "./output-file.ts";
import { VarintReader, VarintWriter } from "./varint.ts";

const BLOCK_TERMS = 32;
const FOOTER = 14;

export interface TermEntry {
  /** Number of passages that contain the term. */
  readonly holders: number;
  /** Byte range in the postings file. */
  readonly from: number;
  readonly to: number;
}

/** Takes terms in the order of their UTF-8 bytes. */
export class DictionaryWriter {
  readonly #file: OutputFile;
  readonly #block = new VarintWriter();
  readonly #index = new VarintWriter();
  #first: Uint8Array = new Uint8Array();
  #before: Uint8Array = new Uint8Array();
  #inBlock = 0;
  #blocks = 0;
  #terms = 0;

  constructor(file: OutputFile) {
    this.#file = file;
  }

  add(term: Uint8Array, { holders, from, to }: TermEntry): void {
    if (this.#inBlock === 0) {
      this.#file.u48(from);
      this.#before = new Uint8Array();
    }
    const shared = sharedPrefix(this.#before, term);
    this.#block.add(shared);
    this.#block.add(term.length - shared);
    this.#block.bytes(term.subarray(shared));
    this.#block.add(holders);
    this.#block.add(to - from);
    if (this.#inBlock === 0) this.#first = term;
    this.#before = term;
    this.#terms++;
    if (++this.#inBlock === BLOCK_TERMS) this.#endBlock();
  }

  finish(): void {
    if (this.#inBlock > 0) this.#endBlock();
    const start = this.#file.size;
    this.#file.write(this.#index.view());
    this.#file.u48(start);
    this.#file.u32(this.#blocks);
    this.#file.u32(this.#terms);
  }

  #endBlock(): void {
    this.#file.write(this.#block.view());
    this.#block.clear();
    this.#index.u48(this.#file.size);
    this.#index.add(this.#first.length);
    this.#index.bytes(this.#first);
    this.#inBlock = 0;
    this.#blocks++;
  }
}

function sharedPrefix(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  let shared = 0;
  while (shared < most && a[shared] === b[shared]) shared++;
  return shared;
}

export class DictionaryReader {
  readonly terms: number;
  readonly #file: CheckedFile;
  readonly #index: Buffer;
  /** By block: the range of its first term's bytes in the index, and the end of the block in the file. */
  readonly #firstFrom: Uint32Array;
  readonly #firstTo: Uint32Array;
  readonly #ends: Float64Array;

  /** @throws SearchError if its parts are inconsistent */
  constructor(file: CheckedFile) {
    this.#file = file;
    const footer = Buffer.from(file.read(file.size - FOOTER, file.size));
    const start = footer.readUIntLE(0, 6);
    const blocks = footer.readUInt32LE(6);
    this.terms = footer.readUInt32LE(10);
    if (start > file.size - FOOTER || blocks * 7 > file.size || Math.ceil(this.terms / BLOCK_TERMS) !== blocks)
      throw damaged(`${file.path} is damaged`);
    this.#index = Buffer.from(file.read(start, file.size - FOOTER));
    this.#firstFrom = new Uint32Array(blocks);
    this.#firstTo = new Uint32Array(blocks);
    this.#ends = new Float64Array(blocks);
    const reader = new VarintReader(this.#index);
    for (let block = 0; block < blocks; block++) {
      if (reader.position + 7 > this.#index.length) throw damaged(`${file.path} is damaged`);
      this.#ends[block] = this.#index.readUIntLE(reader.position, 6);
      reader.position += 6;
      const length = reader.next();
      this.#firstFrom[block] = reader.position;
      reader.position += length;
      this.#firstTo[block] = reader.position;
    }
    if (reader.position !== this.#index.length) throw damaged(`${file.path} is damaged`);
  }

  find(term: string): TermEntry | undefined {
    const wanted = Buffer.from(term);
    let low = 0;
    let high = this.#ends.length; // the first block that begins after the term
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compare(wanted, this.#index, this.#firstFrom[middle]!, this.#firstTo[middle]!) < 0) high = middle;
      else low = middle + 1;
    }
    if (low === 0) return undefined;
    const terms = this.#block(low - 1);
    while (terms.next()) {
      const order = compare(wanted, terms.term, 0, terms.length);
      if (order === 0) return terms.entry();
      if (order < 0) return undefined;
    }
    return undefined;
  }

  /** All terms in order. */
  walk(): DictionaryWalk {
    return new DictionaryWalk((block) => (block < this.#ends.length ? this.#block(block) : undefined));
  }

  #block(block: number): BlockTerms {
    const from = block === 0 ? 0 : this.#ends[block - 1]!;
    const count = Math.min(BLOCK_TERMS, this.terms - block * BLOCK_TERMS);
    return new BlockTerms(Buffer.from(this.#file.read(from, this.#ends[block]!)), count, this.#file.path);
  }
}

/** Compares a term with a range of bytes: negative if it comes first. A native call for this would cost more. */
function compare(term: Uint8Array, bytes: Uint8Array, from: number, to: number): number {
  const most = Math.min(term.length, to - from);
  for (let i = 0; i < most; i++) {
    const difference = term[i]! - bytes[from + i]!;
    if (difference !== 0) return difference;
  }
  return term.length - (to - from);
}

/** The terms of one block, one at a time. */
class BlockTerms {
  /** Its first `length` bytes are the current term. */
  term = Buffer.allocUnsafe(64);
  length = 0;
  readonly #reader: VarintReader;
  readonly #path: string;
  #left: number;
  #holders = 0;
  #from = 0;
  #to: number;

  constructor(bytes: Buffer, count: number, path: string) {
    if (bytes.length < 6) throw damaged(`${path} is damaged`);
    this.#reader = new VarintReader(bytes);
    this.#reader.position = 6;
    this.#to = bytes.readUIntLE(0, 6);
    this.#left = count;
    this.#path = path;
  }

  /** @returns false after the last term */
  next(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    const reader = this.#reader;
    const shared = reader.next();
    const length = shared + reader.next();
    const until = reader.position + length - shared;
    if (shared > this.length || until > reader.end) throw damaged(`${this.#path} is damaged`);
    if (length > this.term.length) this.term = Buffer.concat([this.term], length * 2);
    for (let at = shared; at < length; at++) this.term[at] = reader.bytes[reader.position++]!;
    this.length = length;
    this.#holders = reader.next();
    this.#from = this.#to;
    this.#to += reader.next();
    return true;
  }

  entry(): TermEntry {
    return { holders: this.#holders, from: this.#from, to: this.#to };
  }
}

/** Reads a dictionary from front to back, for merging. */
export class DictionaryWalk {
  readonly #blockAt: (block: number) => BlockTerms | undefined;
  #block = 0;
  #terms: BlockTerms | undefined;

  constructor(blockAt: (block: number) => BlockTerms | undefined) {
    this.#blockAt = blockAt;
    this.#terms = blockAt(0);
  }

  /** Advances to the next term. @returns false after the last */
  next(): boolean {
    while (this.#terms !== undefined) {
      if (this.#terms.next()) return true;
      this.#terms = this.#blockAt(++this.#block);
    }
    return false;
  }

  /** A copy of the current term. */
  term(): Buffer {
    return Buffer.from(this.#terms!.term.subarray(0, this.#terms!.length));
  }

  entry(): TermEntry {
    return this.#terms!.entry();
  }
}
