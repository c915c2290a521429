import { boundary, DataError, SearchError } from "../../base/errors.ts";
import { type Analyzer, analyzerOf } from "../analyzer.ts";
import type { Hit, Searcher, SearcherInfo } from "../searcher.ts";
import { PageCache } from "./checked-file.ts";
import type { TermEntry } from "./dictionary.ts";
import { bm25Info } from "./identity.ts";
import { readManifest } from "./manifest.ts";
import type { Manifest } from "./manifest-schema.ts";
import type { PostingCursor } from "./posting-cursor.ts";
import { RetrievalMemory, retrieve } from "./retrieve.ts";
import { type Bm25, bm25Parameters, checkK, inverseDocumentFrequency, Norms, queryTerms } from "./score.ts";
import { synchronousSearcher } from "./searcher.ts";
import { SegmentReader } from "./segment-reader.ts";
import { type Candidate, TopK } from "./top-k.ts";

export interface OpenOptions extends Partial<Bm25> {
  /**
   * Reads and verifies everything at once. Otherwise an index larger than 64 MiB is checked page by page as it is read,
   * and damage makes those queries fail that read it.
   */
  readonly verify?: boolean;
}

/** Reading this many bytes takes about 50 ms. */
const ALWAYS_VERIFIED = 64 << 20;
const CACHE_BYTES = 16 << 20;

/** @throws DataError naming the file if the index is missing, damaged or of another version */
export async function openIndex(directory: string, options: OpenOptions = {}): Promise<Searcher> {
  return boundary(DataError, `index ${directory} cannot be opened`, async () => {
    const index = openDiskIndex(directory, options);
    return synchronousSearcher({
      info: index.info,
      rank: (query, k) => index.candidates(query, k).map((candidate, i) => index.hit(candidate, i + 1)),
      close: () => index.close(),
    });
  });
}

/** Like `openIndex`, but returns positions without texts. */
export function openDiskIndex(directory: string, options: OpenOptions = {}): DiskIndex {
  const manifest = readManifest(directory);
  const bm25 = bm25Parameters({ k1: options.k1 ?? manifest.k1, b: options.b ?? manifest.b });
  const bytes = manifest.segments.flatMap((segment) => segment.bytes).reduce((sum, size) => sum + size, 0);
  const verify = options.verify ?? bytes <= ALWAYS_VERIFIED;
  try {
    return new DiskIndex(directory, { manifest, bm25, verify });
  } catch (error) {
    // at this point a fault is a fault of the folder, not of a query
    if (error instanceof SearchError) throw new DataError(error.message, { hint: error.hint, cause: error });
    throw error;
  }
}

interface OpenSegment {
  readonly reader: SegmentReader;
  readonly base: number;
}

interface FoundTerm {
  readonly entry: TermEntry;
  readonly idf: number;
}

/** One query at a time. */
export class DiskIndex {
  readonly info: SearcherInfo;
  readonly #segments: OpenSegment[] = [];
  readonly #passages: number;
  readonly #norms: Norms;
  readonly #analyzer: Analyzer;
  /** Undefined while a query is running, and after one that threw halfway. */
  #memory: RetrievalMemory | undefined;

  constructor(directory: string, parts: { manifest: Manifest; bm25: Bm25; verify: boolean }) {
    const { manifest, bm25, verify } = parts;
    this.info = bm25Info(
      { ...bm25, analyzer: manifest.analyzer },
      { passages: manifest.passages, hash: manifest.corpus },
    );
    this.#passages = manifest.passages;
    this.#analyzer = analyzerOf(manifest.analyzer)!; // the manifest was refused otherwise
    const cache = new PageCache(CACHE_BYTES);
    let base = 0;
    let longest = 0;
    try {
      for (const segment of manifest.segments) {
        const reader = new SegmentReader(directory, segment, cache);
        this.#segments.push({ reader, base });
        if (verify) reader.verify();
        base += segment.passages;
        for (const length of reader.lengths) if (length > longest) longest = length;
      }
    } catch (error) {
      this.close();
      throw error;
    }
    const average = manifest.segments.reduce((sum, { tokens }) => sum + tokens, 0) / manifest.passages;
    this.#norms = new Norms(bm25, { longest, average });
  }

  /** The k best passages, best first. @throws SearchError if it reads damaged data */
  candidates(query: string, k: number): Candidate[] {
    checkK(k);
    const best = new TopK(k);
    const memory = this.#memory ?? new RetrievalMemory();
    this.#memory = undefined;
    const found = this.#find(query);
    this.#segments.forEach((segment, i) => {
      const cursors = found[i]!.map((term, order) => this.#cursor(memory.cursor(order), segment.reader, term));
      const retrieval = { cursors, lengths: segment.reader.lengths, norms: this.#norms, base: segment.base };
      if (cursors.length > 0) retrieve(retrieval, memory, best);
    });
    this.#memory = memory;
    return best.sorted();
  }

  hit({ at, score }: Candidate, rank: number): Hit {
    const { reader, base } = this.#segments.findLast((segment) => segment.base <= at)!;
    return { ...reader.passage(at - base), score, rank };
  }

  close(): void {
    for (const { reader } of this.#segments) reader.close();
  }

  /** For each segment, the query's terms that it contains, in the order in which scores are summed. */
  #find(query: string): FoundTerm[][] {
    const found = this.#segments.map((): FoundTerm[] => []);
    for (const term of queryTerms(query, this.#analyzer)) {
      const entries = this.#segments.map(({ reader }) => reader.find(term));
      const holders = entries.reduce((sum, entry) => sum + (entry?.holders ?? 0), 0);
      const idf = inverseDocumentFrequency(this.#passages, holders);
      entries.forEach((entry, i) => {
        if (entry !== undefined) found[i]!.push({ entry, idf });
      });
    }
    return found;
  }

  #cursor(cursor: PostingCursor, { files, lengths }: SegmentReader, { entry, idf }: FoundTerm): PostingCursor {
    cursor.start({ file: files.postings, entry, idf, norms: this.#norms, lengths });
    return cursor;
  }
}
