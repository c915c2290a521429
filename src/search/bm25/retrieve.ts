/** @file Top k over one segment's postings, in two ways that give the same bits. */
import { END, PostingCursor } from "./posting-cursor.ts";
import { ScoreWindow, TermParts, WINDOW } from "./score-window.ts";
import type { TopK } from "./top-k.ts";

/** Sums of bounds and sums of scores round differently; bounds get this much more. */
const SLACK = 1 + 1e-9;
/** Looking every term up for every candidate stops paying: a pasted page is scored term by term. */
const MAX_PRUNED_TERMS = 48;

/** The postings of a query in one segment. */
export interface Retrieval {
  /** In the order in which scores are summed; none has moved. */
  readonly cursors: readonly PostingCursor[];
  /** Passages in the segment. */
  readonly passages: number;
  /** Position in the corpus of the segment's first passage. */
  readonly base: number;
}

/** What retrieving works in, kept from query to query. What threw has left it as it was: make another. */
export class RetrievalMemory {
  readonly window = new ScoreWindow();
  readonly #cursors: PostingCursor[] = [];
  readonly #parts: TermParts[] = [];

  cursor(i: number): PostingCursor {
    this.#cursors[i] ??= new PostingCursor();
    return this.#cursors[i]!;
  }

  parts(i: number): TermParts {
    this.#parts[i] ??= new TermParts();
    return this.#parts[i]!;
  }
}

export function retrieve(retrieval: Retrieval, memory: RetrievalMemory, best: TopK): void {
  if (retrieval.cursors.length > MAX_PRUNED_TERMS) retrieveAll(retrieval, memory, best);
  else new PrunedRetrieval(retrieval, memory, best).run();
}

/** Every posting. */
function retrieveAll({ cursors, passages, base }: Retrieval, memory: RetrievalMemory, best: TopK): void {
  const { window } = memory;
  for (let from = 0; from < passages; from += WINDOW) {
    window.move(from);
    for (const cursor of cursors) {
      cursor.seek(from);
      cursor.drain(window, memory.parts(0));
      window.add(memory.parts(0));
    }
    window.drain((place, score) => best.offer(score, base + from + place));
  }
}

/** One term of a query. */
interface Term {
  readonly cursor: PostingCursor;
  /** In the order of summing. */
  readonly order: number;
  readonly parts: TermParts;
}

/**
 * A window of passages at a time, with MaxScore and block bounds: terms that cannot lift a passage of the window into the
 * top k, not even together, are only looked up for the passages of the others.
 */
class PrunedRetrieval {
  readonly #retrieval: Retrieval;
  readonly #window: ScoreWindow;
  readonly #best: TopK;
  /** Weakest bound first. */
  readonly #terms: readonly Term[];
  /** Candidates are drawn from the terms from here on. */
  #essential = 0;
  /** [i]: the bounds of the i weakest terms together, in this window. */
  readonly #boundSums: Float64Array;
  /** Of the current candidate, in the order of summing. */
  readonly #parts: Float64Array;

  constructor(retrieval: Retrieval, memory: RetrievalMemory, best: TopK) {
    this.#retrieval = retrieval;
    this.#window = memory.window;
    this.#best = best;
    const { cursors } = retrieval;
    this.#terms = cursors
      .map((cursor, order) => ({ cursor, order, parts: memory.parts(order) }))
      .sort((a, b) => a.cursor.bound - b.cursor.bound || a.order - b.order);
    this.#boundSums = new Float64Array(cursors.length + 1);
    this.#parts = new Float64Array(cursors.length);
  }

  run(): void {
    const { passages } = this.#retrieval;
    for (let from = 0; from < passages; ) {
      const end = from + WINDOW;
      this.#bound(from, end);
      const first = this.#firstFrom(from);
      if (first < end) this.#score(from);
      from = first < end || this.#essential === this.#terms.length ? end : first;
    }
  }

  /** Finds the bounds in a window, and how many of the weakest terms cannot make a candidate. */
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
      const { cursor, parts } = this.#terms[i]!;
      cursor.drain(window, parts);
      if (this.#essential < this.#terms.length - 1) window.add(parts);
    }
    if (this.#essential < this.#terms.length - 1) window.drain((place, sum) => this.#judge(place, sum));
    else this.#terms.at(-1)!.parts.visit((place, part) => this.#judge(place, part));
  }

  /** @param sumOfEssential what the essential terms give, summed in any order */
  #judge(place: number, sumOfEssential: number): void {
    let sum = sumOfEssential;
    if (this.#tooLittle(sum + this.#boundSums[this.#essential]!)) return;
    const passage = this.#window.from + place;
    const parts = this.#parts;
    for (let i = this.#essential - 1; i >= 0; i--) {
      const { cursor, order } = this.#terms[i]!;
      cursor.seek(passage);
      const part = cursor.passage === passage ? cursor.score() : 0;
      parts[order] = part;
      sum += part;
      if (this.#tooLittle(sum + this.#boundSums[i]!)) return;
    }
    for (let i = this.#essential; i < this.#terms.length; i++) {
      const term = this.#terms[i]!;
      parts[term.order] = term.parts.at(place);
    }
    let score = 0; // in the fixed order, as the exhaustive way sums
    for (let order = 0; order < parts.length; order++) score += parts[order]!;
    this.#best.offer(score, this.#retrieval.base + passage);
  }
}
