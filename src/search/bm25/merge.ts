/** @file Merges consecutive segments into one, reading and writing front to back. */
import { setImmediate as breath } from "node:timers/promises";
import type { CheckedFile } from "./checked-file.ts";
import { PageCache } from "./checked-file.ts";
import { type DictionaryWalk, DictionaryWriter } from "./dictionary.ts";
import { CorpusHash } from "./identity.ts";
import type { SegmentManifest } from "./manifest-schema.ts";
import { copyPassages } from "./passage-store.ts";
import { forEachPosting, PostingBlock, PostingsWriter } from "./postings.ts";
import { SegmentFiles } from "./segment-files.ts";
import { type Lengths, SegmentReader } from "./segment-reader.ts";
import { VarintReader } from "./varint.ts";

/** More would exceed the usual limit on open files. */
export const MOST_MERGED = 128;
const CACHE_BYTES = 16 << 20;
/** Number of terms between two yields to the event loop: some milliseconds. */
const YIELD_TERMS = 10_000;

/** One of the segments to be merged, with its current term. */
interface Source {
  readonly terms: DictionaryWalk;
  readonly postings: CheckedFile;
  readonly lengths: Lengths;
  /** Position of its first passage in the merged segment. */
  readonly base: number;
  term: Buffer;
}

export interface MergeOptions {
  readonly signal?: AbortSignal | undefined;
  /** From 0 to 1. */
  readonly onProgress?: ((progress: { readonly fraction: number }) => void) | undefined;
}

/** Writes a segment that contains the given ones, in order. @throws the signal's reason */
export async function mergeSegments(
  merge: { readonly directory: string; readonly name: string; readonly segments: readonly SegmentManifest[] },
  options: MergeOptions = {},
): Promise<SegmentManifest> {
  const { directory, name, segments } = merge;
  const readers: SegmentReader[] = [];
  let files: SegmentFiles | undefined;
  try {
    const cache = new PageCache(CACHE_BYTES);
    for (const segment of segments) readers.push(new SegmentReader(directory, segment, cache));
    files = new SegmentFiles(directory, name);
    const { offsets, "passages.jsonl.gz": passages } = files.parts;
    const hash = new CorpusHash();
    for (const { files: from, manifest, lengths } of readers) {
      copyPassages({ passages: from["passages.jsonl.gz"], offsets: from.offsets }, { passages, offsets });
      for (const length of lengths) files.parts.lengths.u32(length);
      hash.append(manifest);
    }
    await mergeTerms(readers, files, options);
    const tokens = segments.reduce((sum, segment) => sum + segment.tokens, 0);
    return files.finish({ passages: hash.passages, tokens, corpus: hash.digest() });
  } finally {
    files?.close();
    for (const reader of readers) reader.close();
  }
}

async function mergeTerms(
  readers: readonly SegmentReader[],
  files: SegmentFiles,
  { signal, onProgress }: MergeOptions,
): Promise<void> {
  const dictionary = new DictionaryWriter(files.parts.terms);
  const writer = new PostingsWriter(files.parts.postings);
  const block = new PostingBlock();
  const heap = new SourceHeap(sourcesOf(readers));
  const bytes = readers.reduce((sum, reader) => sum + reader.files.postings.size, 0);
  let terms = 0;
  for (let source = heap.first; source !== undefined; source = heap.first) {
    const { term } = source;
    // sources with the same term leave the heap in the order of their passages
    for (; source?.term.equals(term); source = heap.first) {
      copyPostings(source, block, writer);
      heap.advance();
    }
    dictionary.add(term, writer.endTerm());
    if (++terms % YIELD_TERMS !== 0) continue;
    onProgress?.({ fraction: Math.min(1, files.parts.postings.size / bytes) });
    await breath();
    signal?.throwIfAborted();
  }
  dictionary.finish();
}

function sourcesOf(readers: readonly SegmentReader[]): Source[] {
  let base = 0;
  const sources: Source[] = [];
  for (const reader of readers) {
    const terms = reader.walkTerms();
    const { lengths, files } = reader;
    if (terms.next()) sources.push({ terms, postings: files.postings, lengths, base, term: terms.term() });
    base += lengths.length;
  }
  return sources;
}

function copyPostings({ terms, postings, lengths, base }: Source, block: PostingBlock, writer: PostingsWriter): void {
  const { from, to, holders } = terms.entry();
  const reader = new VarintReader(postings.read(from, to));
  forEachPosting({ reader, holders, block, path: postings.path }, (passage, frequency) => {
    writer.add(base + passage, frequency, lengths[passage]!);
  });
}

/** A binary heap of sources, ordered by term and then by passage. */
class SourceHeap {
  readonly #heap: Source[];

  /** @param sources in the order of their passages */
  constructor(sources: readonly Source[]) {
    this.#heap = [...sources].sort(compare);
  }

  get first(): Source | undefined {
    return this.#heap[0];
  }

  /** Advances the first source to its next term, or removes it after its last. */
  advance(): void {
    const heap = this.#heap;
    const first = heap[0]!;
    if (first.terms.next()) first.term = first.terms.term();
    else if (heap.length === 1) return void heap.pop();
    else heap[0] = heap.pop()!;
    this.#sink();
  }

  #sink(): void {
    const heap = this.#heap;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && compare(heap[child]!, heap[least]!) < 0) least = child;
      }
      if (least === i) return;
      [heap[i], heap[least]] = [heap[least]!, heap[i]!];
      i = least;
    }
  }
}

const compare = (a: Source, b: Source) => Buffer.compare(a.term, b.term) || a.base - b.base;
