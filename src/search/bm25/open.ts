import { boundary, DataError, SearchError } from "../../base/errors.ts";
import { type Analyzer, analyzerOf } from "../analyzer.ts";
import type { Hit, Searcher } from "../searcher.ts";
import { PageCache } from "./checked-file.ts";
import type { TermEntry } from "./dictionary.ts";
import type { Manifest } from "./format.ts";
import { bm25Info } from "./identity.ts";
import { readManifest } from "./manifest.ts";
import { PostingCursor } from "./posting-cursor.ts";
import { retrieve } from "./retrieve.ts";
import { type Bm25, bm25Parameters, checkK, inverseDocumentFrequency, Norms, queryTerms } from "./score.ts";
import { synchronousSearcher } from "./searcher.ts";
import { SegmentReader } from "./segment-reader.ts";
import { type Candidate, TopK } from "./top-k.ts";

export interface OpenOptions extends Partial<Bm25> {
  /**
   * Read everything at once. Otherwise an index beyond 64 MiB is checked page by page as it is read, and damage fails
   * the queries that meet it.
   */
  readonly verify?: boolean;
}

/** Reading this much takes about 50 ms. */
const ALWAYS_VERIFIED = 64 << 20;
const CACHE_BYTES = 32 << 20;

/** @throws DataError naming the file where the index is absent, of another version or damaged */
export async function openIndex(directory: string, options: OpenOptions = {}): Promise<Searcher> {
  const manifest = readManifest(directory);
  const bm25 = bm25Parameters({ k1: options.k1 ?? manifest.k1, b: options.b ?? manifest.b });
  const bytes = manifest.segments.flatMap((segment) => segment.bytes).reduce((sum, size) => sum + size, 0);
  const verify = options.verify ?? bytes <= ALWAYS_VERIFIED;
  return boundary(DataError, `index ${directory} cannot be opened`, async () => {
    const index = opened(() => new Index(directory, { manifest, bm25, verify }));
    return synchronousSearcher({
      info: bm25Info({ ...bm25, analyzer: manifest.analyzer }, { passages: manifest.passages, hash: manifest.corpus }),
      rank: (query, k) => index.rank(query, k),
      close: () => index.close(),
    });
  });
}

/** What would fail a query later is wrong with the folder now. */
function opened(open: () => Index): Index {
  try {
    return open();
  } catch (error) {
    if (error instanceof SearchError) throw new DataError(error.message, { hint: error.hint, cause: error });
    throw error;
  }
}

interface OpenSegment {
  readonly reader: SegmentReader;
  readonly base: number;
}

class Index {
  readonly #segments: OpenSegment[] = [];
  readonly #passages: number;
  readonly #norms: Norms;
  readonly #analyzer: Analyzer;

  constructor(directory: string, parts: { manifest: Manifest; bm25: Bm25; verify: boolean }) {
    const { manifest, bm25, verify } = parts;
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

  rank(query: string, k: number): Hit[] {
    checkK(k);
    const best = new TopK(k);
    const found = this.#segments.map((): { entry: TermEntry; idf: number }[] => []);
    for (const term of queryTerms(query, this.#analyzer)) {
      const entries = this.#segments.map(({ reader }) => reader.find(term));
      const holders = entries.reduce((sum, entry) => sum + (entry?.holders ?? 0), 0);
      const idf = inverseDocumentFrequency(this.#passages, holders);
      entries.forEach((entry, i) => {
        if (entry !== undefined) found[i]!.push({ entry, idf });
      });
    }
    this.#segments.forEach(({ reader, base }, i) => {
      const cursors = found[i]!.map(({ entry, idf }) => this.#cursor(reader, entry, idf));
      if (cursors.length > 0) retrieve({ cursors, passages: reader.lengths.length, base }, best);
    });
    return best.sorted().map((candidate, i) => this.#hit(candidate, i + 1));
  }

  close(): void {
    for (const { reader } of this.#segments) reader.close();
  }

  #cursor(reader: SegmentReader, entry: TermEntry, idf: number): PostingCursor {
    return new PostingCursor({
      file: reader.files.postings,
      entry,
      idf,
      norms: this.#norms,
      lengths: reader.lengths,
    });
  }

  #hit({ at, score }: Candidate, rank: number): Hit {
    const { reader, base } = this.#segments.findLast((segment) => segment.base <= at)!;
    return { ...reader.passage(at - base), score, rank };
  }
}
