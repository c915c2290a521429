import { join } from "node:path";
import type { Passage } from "../../protocol/passage.ts";
import { analyze } from "../analyzer.ts";
import { BLOCK, type SegmentManifest, type SegmentPart, segmentParts } from "./format.ts";
import { passageRecord } from "./identity.ts";
import { OutputFile } from "./output-file.ts";
import { searchable } from "./rank.ts";
import { VarintWriter } from "./varint.ts";

/** A list of u32 that grows by doubling: no boxed numbers for millions of postings. */
class Numbers {
  values = new Uint32Array(1 << 12);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const grown = new Uint32Array(this.length * 2);
      grown.set(this.values);
      this.values = grown;
    }
    this.values[this.length++] = value;
  }
}

/**
 * Takes passages in corpus order. Records go straight to disk; postings wait in memory, 8 bytes each, until `finish`,
 * which needs about as much again.
 */
export class SegmentWriter {
  readonly #name: string;
  readonly #files: Record<SegmentPart, OutputFile>;
  readonly #termIds = new Map<string, number>();
  /** By term: its latest posting in the log, and how many passages hold it. */
  readonly #latest = new Numbers();
  readonly #holders = new Numbers();
  /** The log of postings in passage order. */
  readonly #logTerms = new Numbers();
  readonly #logFrequencies = new Numbers();
  /** By passage: the end of its postings in the log, and its length in terms. */
  readonly #logEnds = new Numbers();
  readonly #lengths = new Numbers();
  #tokens = 0;

  constructor(directory: string, name: string) {
    this.#name = name;
    const opened: OutputFile[] = [];
    const open = (part: SegmentPart) => {
      const file = new OutputFile(join(directory, `${name}.${part}`));
      opened.push(file);
      return [part, file];
    };
    try {
      this.#files = Object.fromEntries(segmentParts.map(open)) as Record<SegmentPart, OutputFile>;
    } catch (error) {
      for (const file of opened) file.close();
      throw error;
    }
  }

  get passages(): number {
    return this.#lengths.length;
  }

  get postings(): number {
    return this.#logTerms.length;
  }

  /** @returns the record as written */
  add(passage: Passage): Uint8Array {
    const record = Buffer.from(passageRecord(passage));
    this.#files.offsets.write(u64(this.#files["passages.jsonl"].size));
    this.#files["passages.jsonl"].write(record);
    const terms = analyze(searchable(passage));
    const start = this.#logTerms.length;
    for (const term of terms) this.#count(term, start);
    this.#logEnds.push(this.#logTerms.length);
    this.#lengths.push(terms.length);
    this.#tokens += terms.length;
    return record;
  }

  /** @param start where the current passage's postings begin in the log */
  #count(term: string, start: number): void {
    let id = this.#termIds.get(term);
    if (id === undefined) {
      id = this.#termIds.size;
      this.#termIds.set(term, id);
      this.#latest.push(0);
      this.#holders.push(0);
    }
    const latest = this.#latest.values[id]!;
    if (this.#holders.values[id]! > 0 && latest >= start) {
      this.#logFrequencies.values[latest]! += 1;
      return;
    }
    this.#latest.values[id] = this.#logTerms.length;
    this.#holders.values[id]! += 1;
    this.#logTerms.push(id);
    this.#logFrequencies.push(1);
  }

  finish(): SegmentManifest {
    const files = this.#files;
    files.offsets.write(u64(files["passages.jsonl"].size));
    for (let i = 0; i < this.passages; i++) files.lengths.write(u32(this.#lengths.values[i]!));
    this.#writeTerms();
    return {
      name: this.#name,
      passages: this.passages,
      tokens: this.#tokens,
      files: segmentParts.map((part) => files[part].finish()),
    };
  }

  /** Also after a failure; may be called twice. */
  close(): void {
    for (const part of segmentParts) this.#files[part].close();
  }

  #writeTerms(): void {
    const { terms, postings } = this.#files;
    const byTerm = this.#sortByTerm();
    const sorted = sortByBytes([...this.#termIds.keys()]);
    const bytes = new VarintWriter();
    terms.write(u64(sorted.length));
    let textEnd = 0;
    for (const term of sorted) {
      const id = this.#termIds.get(term)!;
      const to = byTerm.ends[id]!;
      const from = to - this.#holders.values[id]!;
      bytes.clear();
      encodePostings(bytes, {
        passages: byTerm.passages.subarray(from, to),
        frequencies: byTerm.frequencies.subarray(from, to),
        lengths: this.#lengths.values,
      });
      postings.write(bytes.view());
      textEnd += Buffer.byteLength(term);
      if (textEnd > 0xffffffff) throw new Error(`${this.#name}: the texts of its terms exceed 4 GiB`);
      terms.write(u32(textEnd));
      terms.write(u32(to - from));
      terms.write(u64(postings.size));
    }
    for (const term of sorted) terms.write(Buffer.from(term));
  }

  /** Counting sort of the log, which keeps passage order within a term. */
  #sortByTerm(): { passages: Uint32Array; frequencies: Uint32Array; ends: Float64Array } {
    const ends = new Float64Array(this.#termIds.size);
    for (let id = 1; id < ends.length; id++) ends[id] = ends[id - 1]! + this.#holders.values[id - 1]!;
    const passages = new Uint32Array(this.postings);
    const frequencies = new Uint32Array(this.postings);
    for (let passage = 0, i = 0; passage < this.passages; passage++) {
      for (const end = this.#logEnds.values[passage]!; i < end; i++) {
        const slot = ends[this.#logTerms.values[i]!]!++;
        passages[slot] = passage;
        frequencies[slot] = this.#logFrequencies.values[i]!;
      }
    }
    return { passages, frequencies, ends };
  }
}

interface PostingList {
  readonly passages: Uint32Array;
  readonly frequencies: Uint32Array;
  /** By passage, not by posting. */
  readonly lengths: Uint32Array;
}

function encodePostings(out: VarintWriter, { passages, frequencies, lengths }: PostingList): void {
  const blocks = new VarintWriter();
  let before = -1;
  for (let from = 0; from < passages.length; from += BLOCK) {
    const to = Math.min(from + BLOCK, passages.length);
    const blockStart = blocks.length;
    const blockBefore = before;
    let greatest = 0;
    let least = 0xffffffff;
    for (let i = from; i < to; i++) {
      blocks.add(passages[i]! - before - 1);
      before = passages[i]!;
      greatest = Math.max(greatest, frequencies[i]!);
      least = Math.min(least, lengths[before]!);
    }
    for (let i = from; i < to; i++) blocks.add(frequencies[i]!);
    out.add(before - blockBefore);
    out.add(blocks.length - blockStart);
    out.add(greatest);
    out.add(least);
  }
  out.append(blocks);
}

/** UTF-8 byte order, which is code unit order but for code units from the first surrogate on. */
function sortByBytes(terms: string[]): string[] {
  const differs = /[\ud800-\uffff]/;
  if (!terms.some((term) => differs.test(term))) return terms.sort();
  return terms
    .map((term) => ({ term, bytes: Buffer.from(term) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ term }) => term);
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
