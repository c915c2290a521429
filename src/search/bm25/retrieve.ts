/** @file Top k over the postings of one segment, by two algorithms with bit-identical results. */
import { END, PostingCursor } from "./posting-cursor.ts";
import type { Norms } from "./score.ts";
import { ScoreWindow, WINDOW, WindowPostings } from "./score-window.ts";
import type { Lengths } from "./segment-reader.ts";
import type { TopK } from "./top-k.ts";

/** Sums of bounds round differently from sums of scores, so bounds are raised by this factor. */
const SLACK = 1 + 1e-9;
/**
 * With more terms than this, looking up every term for every candidate is slower than scoring term by term; that
 * happens when a whole page is pasted as a query.
 */
const MAX_PRUNED_TERMS = 48;

/** The postings of a query in one segment. */
export interface Retrieval {
  /** In the order in which scores are summed; none has been advanced yet. */
  readonly cursors: readonly PostingCursor[];
  /** Number of passages in the segment. */
  readonly lengths: Lengths;
  readonly norms: Norms;
  /** Position in the corpus of the segment's first passage. */
  readonly base: number;
}

/** Working memory, reused between queries. After an exception it may be inconsistent: create a new one. */
export class RetrievalMemory {
  readonly window = new ScoreWindow();
  readonly #cursors: PostingCursor[] = [];
  readonly #postings: WindowPostings[] = [];

  cursor(i: number): PostingCursor {
    this.#cursors[i] ??= new PostingCursor();
    return this.#cursors[i]!;
  }

  postings(i: number): WindowPostings {
    this.#postings[i] ??= new WindowPostings();
    return this.#postings[i]!;
  }
}

export function retrieve(retrieval: Retrieval, memory: RetrievalMemory, best: TopK): void {
  if (retrieval.cursors.length > MAX_PRUNED_TERMS) retrieveAll(retrieval, memory, best);
  else new PrunedRetrieval(retrieval, memory, best).run();
}

/** Every posting. */
function retrieveAll({ cursors, lengths, base }: Retrieval, { window }: RetrievalMemory, best: TopK): void {
  for (let from = 0; from < lengths.length; from += WINDOW) {
    window.move(from);
    for (const cursor of cursors) {
      cursor.seek(from);
      cursor.drainExactly(window);
    }
    window.drain((place, score) => best.offer(score, base + from + place));
  }
}

/** One term of a query. */
interface Term {
  readonly cursor: PostingCursor;
  /** In the order of summing. */
  readonly order: number;
  /** The bound of an essential term in this window. */
  readonly postings: WindowPostings;
}

/**
 * Processes one window of passages at a time, with MaxScore and block bounds: terms that cannot lift a passage of the
 * window into the top k, even all together, are only looked up for passages that other terms found.
 */
class PrunedRetrieval {
  readonly #retrieval: Retrieval;
  readonly #window: ScoreWindow;
  readonly #best: TopK;
  /** Smallest bound first. */
  readonly #terms: readonly Term[];
  /** Terms from this index on produce candidates. */
  #essential = 0;
  /** [i]: the sum of the i smallest bounds in this window. */
  readonly #boundSums: Float64Array;
  /** How often the current candidate contains each term, in the order in which scores are summed. */
  readonly #frequencies: Int32Array;

  constructor(retrieval: Retrieval, memory: RetrievalMemory, best: TopK) {
    this.#retrieval = retrieval;
    this.#window = memory.window;
    this.#best = best;
    const { cursors } = retrieval;
    this.#terms = cursors
      .map((cursor, order) => ({ cursor, order, postings: memory.postings(order) }))
      .sort((a, b) => a.cursor.bound - b.cursor.bound || a.order - b.order);
    this.#boundSums = new Float64Array(cursors.length + 1);
    this.#frequencies = new Int32Array(cursors.length);
  }

  run(): void {
    const passages = this.#retrieval.lengths.length;
    for (let from = 0; from < passages; ) {
      const end = from + WINDOW;
      this.#bound(from, end);
      const first = this.#firstFrom(from);
      if (first < end) this.#score(from);
      from = first < end || this.#essential === this.#terms.length ? end : first;
    }
  }

  /** Computes the bounds in a window, and how many terms with the smallest bounds cannot produce a candidate. */
  #bound(from: number, end: number): void {
    const sums = this.#boundSums;
    this.#essential = 0;
    for (let i = 0; i < this.#terms.length; i++) {
      sums[i + 1] = sums[i]! + this.#terms[i]!.cursor.boundIn(from, end - 1);
      if (this.#tooLittle(sums[i + 1]!)) this.#essential = i + 1;
    }
  }

  #tooLittle(bound: number): boolean {
    return bound * SLACK < this.#best.threshold;
  }

  /** @returns the first passage ≥ from of an essential term, or END */
  #firstFrom(from: number): number {
    let first = END;
    for (let i = this.#essential; i < this.#terms.length; i++) {
      const { cursor } = this.#terms[i]!;
      cursor.seek(from);
      if (cursor.passage < first) first = cursor.passage;
    }
    return first;
  }

  #score(from: number): void {
    const window = this.#window;
    window.move(from);
    for (let i = this.#essential; i < this.#terms.length; i++) {
      const { cursor, postings } = this.#terms[i]!;
      cursor.drain(window, postings);
    }
    window.drain((place, bound) => this.#judge(place, bound));
  }

  /** @param boundOfEssential bound of what the essential terms add to the passage's score */
  #judge(place: number, boundOfEssential: number): void {
    let bound = boundOfEssential;
    if (this.#tooLittle(bound + this.#boundSums[this.#essential]!)) return;
    const passage = this.#window.from + place;
    for (let i = this.#essential - 1; i >= 0; i--) {
      const { cursor, order } = this.#terms[i]!;
      cursor.seek(passage);
      const isThere = cursor.passage === passage;
      this.#frequencies[order] = isThere ? cursor.frequency() : 0;
      if (isThere) bound += cursor.partBound();
      if (this.#tooLittle(bound + this.#boundSums[i]!)) return;
    }
    for (let i = this.#essential; i < this.#terms.length; i++) {
      const { order, postings } = this.#terms[i]!;
      this.#frequencies[order] = postings.frequencyAt(place);
    }
    this.#offer(passage);
  }

  #offer(passage: number): void {
    const { cursors, lengths, norms, base } = this.#retrieval;
    const norm = norms.of(lengths[passage]!);
    let score = 0; // in the same fixed order as the exhaustive algorithm
    for (let order = 0; order < cursors.length; order++) {
      const frequency = this.#frequencies[order]!;
      if (frequency > 0) score += cursors[order]!.part(frequency, norm);
    }
    this.#best.offer(score, base + passage);
  }
}
