import { boundary, DataError } from "../../base/errors.ts";
import type { Hit, Searcher } from "../searcher.ts";
import type { Manifest } from "./format.ts";
import { bm25Info } from "./identity.ts";
import { checkFiles, readManifest } from "./manifest.ts";
import { PostingCursor } from "./posting-cursor.ts";
import { retrieve } from "./retrieve.ts";
import { type Bm25, bm25Parameters, checkK, inverseDocumentFrequency, lengthNorm, queryTerms } from "./score.ts";
import { synchronousSearcher } from "./searcher.ts";
import { SegmentReader, type TermEntry } from "./segment-reader.ts";
import { type Candidate, TopK } from "./top-k.ts";

export interface OpenOptions extends Partial<Bm25> {
  /** Hash every file; otherwise those beyond 64 MiB are checked by size, and damage in them fails single queries. */
  readonly verify?: boolean;
}

/** @throws DataError naming the file where the index is absent, of another version or damaged */
export async function openIndex(directory: string, options: OpenOptions = {}): Promise<Searcher> {
  const manifest = readManifest(directory);
  const bm25 = bm25Parameters({ k1: options.k1 ?? manifest.k1, b: options.b ?? manifest.b });
  return boundary(DataError, `index ${directory} cannot be opened`, async () => {
    await checkFiles(directory, manifest, options.verify ?? false);
    const index = new Index(directory, manifest, bm25);
    return synchronousSearcher({
      info: bm25Info(bm25, { passages: manifest.passages, hash: manifest.corpus }),
      rank: (query, k) => index.rank(query, k),
      close: () => index.close(),
    });
  });
}

interface OpenSegment {
  readonly reader: SegmentReader;
  readonly base: number;
}

class Index {
  readonly #segments: OpenSegment[] = [];
  readonly #passages: number;
  readonly #norms: Float64Array;

  constructor(directory: string, manifest: Manifest, bm25: Bm25) {
    this.#passages = manifest.passages;
    let base = 0;
    let longest = 0;
    try {
      for (const segment of manifest.segments) {
        const reader = new SegmentReader(directory, segment);
        this.#segments.push({ reader, base });
        base += reader.passages;
        for (const length of reader.lengths) if (length > longest) longest = length;
      }
    } catch (error) {
      this.close();
      throw error;
    }
    const average = manifest.segments.reduce((sum, { tokens }) => sum + tokens, 0) / manifest.passages;
    this.#norms = Float64Array.from({ length: longest + 1 }, (_, length) => lengthNorm(bm25, length, average));
  }

  rank(query: string, k: number): Hit[] {
    checkK(k);
    const best = new TopK(k);
    const found = this.#segments.map((): { entry: TermEntry; idf: number }[] => []);
    for (const term of queryTerms(query)) {
      const entries = this.#segments.map(({ reader }) => reader.find(term));
      const holders = entries.reduce((sum, entry) => sum + (entry?.holders ?? 0), 0);
      const idf = inverseDocumentFrequency(this.#passages, holders);
      entries.forEach((entry, i) => {
        if (entry !== undefined) found[i]!.push({ entry, idf });
      });
    }
    this.#segments.forEach(({ reader, base }, i) => {
      const cursors = found[i]!.map(({ entry, idf }) => this.#cursor(reader, entry, idf));
      if (cursors.length > 0) retrieve({ cursors, passages: reader.passages, base }, best);
    });
    return best.sorted().map((candidate, i) => this.#hit(candidate, i + 1));
  }

  close(): void {
    for (const { reader } of this.#segments) reader.close();
  }

  #cursor(reader: SegmentReader, entry: TermEntry, idf: number): PostingCursor {
    return new PostingCursor({
      bytes: reader.postings(entry),
      holders: entry.holders,
      idf,
      norms: this.#norms,
      lengths: reader.lengths,
      file: reader.postingsFile,
    });
  }

  #hit({ at, score }: Candidate, rank: number): Hit {
    const { reader, base } = this.#segments.findLast((segment) => segment.base <= at)!;
    return { ...reader.passage(at - base), score, rank };
  }
}
