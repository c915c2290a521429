import type { Passage } from "../../protocol/passage.ts";
import type { Analyzer } from "../analyzer.ts";
import { DictionaryWriter } from "./dictionary.ts";
import type { SegmentManifest } from "./format.ts";
import { GrowingNumbers } from "./growing-numbers.ts";
import { CorpusHash, passageRecord } from "./identity.ts";
import { PassageStoreWriter } from "./passage-store.ts";
import { PostingsWriter } from "./postings.ts";
import { searchable } from "./rank.ts";
import { SegmentFiles } from "./segment-files.ts";

/**
 * Takes passages in corpus order. Records go straight to disk; postings wait in memory, 8 bytes each, until `finish`,
 * which needs about as much again.
 */
export class SegmentBuilder {
  readonly #analyzer: Analyzer;
  readonly #files: SegmentFiles;
  readonly #store: PassageStoreWriter;
  readonly #hash = new CorpusHash();
  readonly #termIds = new Map<string, number>();
  /** By term: its latest posting in the log, and how many passages hold it. */
  readonly #latest = new GrowingNumbers();
  readonly #holders = new GrowingNumbers();
  /** The log of postings in passage order. */
  readonly #logTerms = new GrowingNumbers();
  readonly #logFrequencies = new GrowingNumbers();
  /** By passage: the end of its postings in the log, and its length in terms. */
  readonly #logEnds = new GrowingNumbers();
  readonly #lengths = new GrowingNumbers();
  #tokens = 0;

  constructor(directory: string, name: string, analyzer: Analyzer) {
    this.#analyzer = analyzer;
    this.#files = new SegmentFiles(directory, name);
    const { offsets, "passages.jsonl.gz": passages } = this.#files.parts;
    this.#store = new PassageStoreWriter({ passages, offsets });
  }

  add(passage: Passage): void {
    const record = Buffer.from(passageRecord(passage));
    this.#hash.add(record);
    this.#store.add(record);
    const terms = this.#analyzer.terms(searchable(passage));
    const start = this.#logTerms.length;
    for (const term of terms) this.#count(term, start);
    this.#logEnds.push(this.#logTerms.length);
    this.#lengths.push(terms.length);
    this.#tokens += terms.length;
  }

  /** @param start where the current passage's postings begin in the log */
  #count(term: string, start: number): void {
    let id = this.#termIds.get(term);
    if (id === undefined) {
      id = this.#termIds.size;
      this.#termIds.set(alone(term), id);
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

  /** Writes the segment; nothing can be added after it. */
  finish(): SegmentManifest {
    this.#store.finish();
    const passages = this.#lengths.length;
    for (let i = 0; i < passages; i++) this.#files.parts.lengths.u32(this.#lengths.values[i]!);
    this.#writeTerms();
    return this.#files.finish({ passages, tokens: this.#tokens, corpus: this.#hash.digest() });
  }

  /** Also after a failure; may be called twice. */
  close(): void {
    this.#files.close();
  }

  #writeTerms(): void {
    const dictionary = new DictionaryWriter(this.#files.parts.terms);
    const postings = new PostingsWriter(this.#files.parts.postings);
    const byTerm = this.#sortByTerm();
    const lengths = this.#lengths.values;
    for (const term of sortByBytes([...this.#termIds.keys()])) {
      const id = this.#termIds.get(term)!;
      const to = byTerm.ends[id]!;
      for (let i = to - this.#holders.values[id]!; i < to; i++) {
        const passage = byTerm.passages[i]!;
        postings.add(passage, byTerm.frequencies[i]!, lengths[passage]!);
      }
      dictionary.add(Buffer.from(term), postings.endTerm());
    }
    dictionary.finish();
  }

  /** Counting sort of the log, which keeps passage order within a term. */
  #sortByTerm(): { passages: Uint32Array; frequencies: Uint32Array; ends: Uint32Array } {
    const ends = new Uint32Array(this.#termIds.size);
    for (let id = 1; id < ends.length; id++) ends[id] = ends[id - 1]! + this.#holders.values[id - 1]!;
    const passages = new Uint32Array(this.#logTerms.length);
    const frequencies = new Uint32Array(this.#logTerms.length);
    for (let passage = 0, i = 0; passage < this.#lengths.length; passage++) {
      for (const end = this.#logEnds.values[passage]!; i < end; i++) {
        const slot = ends[this.#logTerms.values[i]!]!++;
        passages[slot] = passage;
        frequencies[slot] = this.#logFrequencies.values[i]!;
      }
    }
    return { passages, frequencies, ends };
  }
}

/** A long word cut out of a text keeps the whole text in memory; a copy does not. */
const alone = (term: string) => (term.length < 13 ? term : Buffer.from(term).toString());

/** UTF-8 byte order, which is code unit order but for code units from the first surrogate on. */
function sortByBytes(terms: string[]): string[] {
  const differs = /[\ud800-\uffff]/;
  if (!terms.some((term) => differs.test(term))) return terms.sort();
  return terms
    .map((term) => ({ term, bytes: Buffer.from(term) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ term }) => term);
}
