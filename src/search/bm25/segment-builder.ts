import type { Passage } from "../../protocol/passage.ts";
import type { Analyzer } from "../analyzer.ts";
import { DictionaryWriter } from "./dictionary.ts";
import { GrowingNumbers } from "./growing-numbers.ts";
import { CorpusHash, passageRecord } from "./identity.ts";
import type { SegmentManifest } from "./manifest-schema.ts";
import { PassageStoreWriter } from "./passage-store.ts";
import { PostingsWriter } from "./postings.ts";
import { searchable } from "./rank.ts";
import { SegmentFiles } from "./segment-files.ts";
import { TermTable } from "./term-table.ts";

/**
 * The arrays of a builder. Consecutive segments reuse them, because the garbage collector would be slow to free each.
 */
export class BuilderMemory {
  readonly terms = new TermTable();
  /** By term: its latest posting in the log, and the number of passages that contain it. */
  readonly latest = new GrowingNumbers();
  readonly holders = new GrowingNumbers();
  /** The log of postings in passage order. */
  readonly logTerms = new GrowingNumbers();
  readonly logFrequencies = new GrowingNumbers();
  /** By passage: the end of its postings in the log, and its length in terms. */
  readonly logEnds = new GrowingNumbers();
  readonly lengths = new GrowingNumbers();
  /** The log sorted by term, and the end of each term in it. */
  readonly passages = new GrowingNumbers();
  readonly frequencies = new GrowingNumbers();
  readonly ends = new GrowingNumbers();

  clear(): void {
    this.terms.clear();
    for (const numbers of [this.latest, this.holders, this.logTerms, this.logFrequencies, this.logEnds, this.lengths])
      numbers.length = 0;
  }
}

/**
 * Adds passages in corpus order. Records are written to disk at once; postings stay in memory, 8 bytes each, until
 * `finish`, which needs about as much again.
 */
export class SegmentBuilder {
  readonly #analyzer: Analyzer;
  readonly #files: SegmentFiles;
  readonly #store: PassageStoreWriter;
  readonly #hash = new CorpusHash();
  readonly #memory: BuilderMemory;
  #tokens = 0;

  /** @param destination destination of the segment; no other segment may use the same memory meanwhile */
  constructor(
    destination: { readonly directory: string; readonly name: string; readonly memory: BuilderMemory },
    analyzer: Analyzer,
  ) {
    const { directory, name, memory } = destination;
    this.#analyzer = analyzer;
    this.#memory = memory;
    memory.clear();
    this.#files = new SegmentFiles(directory, name);
    const { offsets, "passages.jsonl.gz": passages } = this.#files.parts;
    this.#store = new PassageStoreWriter({ passages, offsets });
  }

  add(passage: Passage): void {
    const record = Buffer.from(passageRecord(passage));
    this.#hash.add(record);
    this.#store.add(record);
    const terms = this.#analyzer.terms(searchable(passage));
    const start = this.#memory.logTerms.length;
    for (const term of terms) this.#count(term, start);
    this.#memory.logEnds.push(this.#memory.logTerms.length);
    this.#memory.lengths.push(terms.length);
    this.#tokens += terms.length;
  }

  /** @param start where the current passage's postings begin in the log */
  #count(term: string, start: number): void {
    const id = this.#memory.terms.number(term);
    if (id === this.#memory.holders.length) {
      this.#memory.latest.push(0);
      this.#memory.holders.push(0);
    }
    const latest = this.#memory.latest.values[id]!;
    if (this.#memory.holders.values[id]! > 0 && latest >= start) {
      this.#memory.logFrequencies.values[latest]! += 1;
      return;
    }
    this.#memory.latest.values[id] = this.#memory.logTerms.length;
    this.#memory.holders.values[id]! += 1;
    this.#memory.logTerms.push(id);
    this.#memory.logFrequencies.push(1);
  }

  /** Writes the segment; nothing can be added after it. */
  finish(): SegmentManifest {
    this.#store.finish();
    const passages = this.#memory.lengths.length;
    for (let i = 0; i < passages; i++) this.#files.parts.lengths.u32(this.#memory.lengths.values[i]!);
    this.#writeTerms();
    return this.#files.finish({ passages, tokens: this.#tokens, corpus: this.#hash.digest() });
  }

  /** Also call it after a failure; it may be called twice. */
  close(): void {
    this.#files.close();
  }

  #writeTerms(): void {
    const dictionary = new DictionaryWriter(this.#files.parts.terms);
    const writer = new PostingsWriter(this.#files.parts.postings);
    this.#sortByTerm();
    const { terms, ends, holders, passages, frequencies, lengths } = this.#memory;
    for (const id of terms.sorted()) {
      const to = ends.values[id]!;
      for (let i = to - holders.values[id]!; i < to; i++) {
        const passage = passages.values[i]!;
        writer.add(passage, frequencies.values[i]!, lengths.values[passage]!);
      }
      dictionary.add(terms.bytes(id), writer.endTerm());
    }
    dictionary.finish();
  }

  /** Counting sort of the log, which keeps passage order within a term. */
  #sortByTerm(): void {
    const memory = this.#memory;
    const ends = memory.ends.sized(memory.terms.size);
    ends[0] = 0;
    for (let id = 1; id < memory.terms.size; id++) ends[id] = ends[id - 1]! + memory.holders.values[id - 1]!;
    const passages = memory.passages.sized(memory.logTerms.length);
    const frequencies = memory.frequencies.sized(memory.logTerms.length);
    for (let passage = 0, i = 0; passage < memory.lengths.length; passage++) {
      for (const end = memory.logEnds.values[passage]!; i < end; i++) {
        const slot = ends[memory.logTerms.values[i]!]!++;
        passages[slot] = passage;
        frequencies[slot] = memory.logFrequencies.values[i]!;
      }
    }
  }
}
