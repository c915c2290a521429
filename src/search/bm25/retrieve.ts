/** @file Top k over one segment's postings, in two ways that give the same bits. */
import { END, type PostingCursor } from "./posting-cursor.ts";
import type { TopK } from "./top-k.ts";

/** Sums of bounds and sums of scores round differently; bounds get this much more. */
const SLACK = 1 + 1e-9;
/** Looking every term up for every candidate stops paying: a pasted page is scored term by term. */
const MAX_PRUNED_TERMS = 48;

/** The postings of a query in one segment. */
export interface Retrieval {
  /** In the order in which scores are summed. */
  readonly cursors: readonly PostingCursor[];
  /** Passages in the segment. */
  readonly passages: number;
  /** Position in the corpus of the segment's first passage. */
  readonly base: number;
}

export function retrieve(retrieval: Retrieval, best: TopK): void {
  if (retrieval.cursors.length > MAX_PRUNED_TERMS) retrieveAll(retrieval, best);
  else new PrunedRetrieval(retrieval, best).run();
}

/** Term at a time, every posting. */
function retrieveAll({ cursors, passages, base }: Retrieval, best: TopK): void {
  const scores = new Float64Array(passages);
  for (const cursor of cursors) {
    for (cursor.next(); cursor.passage !== END; cursor.next()) scores[cursor.passage]! += cursor.score();
  }
  for (let passage = 0; passage < passages; passage++) {
    if (scores[passage]! > 0) best.offer(scores[passage]!, base + passage);
  }
}

/**
 * Passage at a time with MaxScore and block bounds: terms that cannot lift a passage into the top k by themselves are
 * only looked up, and runs of passages whose blocks promise too little are passed over unread.
 */
class PrunedRetrieval {
  readonly #retrieval: Retrieval;
  readonly #best: TopK;
  /** Weakest bound first. Candidates are drawn from `#essential` on. */
  readonly #weakestFirst: readonly { readonly cursor: PostingCursor; readonly place: number }[];
  #essential = 0;
  /** [i]: the bounds of the i weakest terms together. */
  readonly #boundSums: Float64Array;
  /** Of the current candidate, by place in the order of summing. */
  readonly #scores: Float64Array;

  constructor(retrieval: Retrieval, best: TopK) {
    this.#retrieval = retrieval;
    this.#best = best;
    const { cursors } = retrieval;
    this.#weakestFirst = cursors
      .map((cursor, place) => ({ cursor, place }))
      .sort((a, b) => a.cursor.bound - b.cursor.bound || a.place - b.place);
    this.#boundSums = new Float64Array(cursors.length + 1);
    this.#weakestFirst.forEach(({ cursor }, i) => {
      this.#boundSums[i + 1] = this.#boundSums[i]! + cursor.bound;
    });
    this.#scores = new Float64Array(cursors.length);
  }

  run(): void {
    const terms = this.#weakestFirst;
    let target = 0;
    let windowEnd = -1;
    let threshold = Number.NaN; // that the essential terms were chosen by
    for (;;) {
      const before = this.#essential;
      if (threshold !== this.#best.threshold) {
        threshold = this.#best.threshold;
        while (this.#essential < terms.length && this.#tooLittle(this.#boundSums[this.#essential + 1]!))
          this.#essential++;
        if (this.#essential === terms.length) return;
      }
      if (target > windowEnd || this.#essential !== before) {
        target = this.#skipBlocks(target);
        if (target === END) return;
        windowEnd = this.#windowEnd(target);
      }
      const candidate = this.#draw(target);
      if (candidate === END) return;
      target = candidate;
      if (candidate > windowEnd) continue; // its blocks have not been judged yet
      this.#scoreCandidate(candidate);
      target = candidate + 1;
    }
  }

  #tooLittle(bound: number): boolean {
    return bound * SLACK < this.#best.threshold;
  }

  /** @returns the first passage ≥ target that the block bounds do not rule out, or END */
  #skipBlocks(target: number): number {
    let from = target;
    while (from !== END) {
      let bound = this.#boundSums[this.#essential]!;
      for (let i = this.#essential; i < this.#weakestFirst.length; i++)
        bound += this.#weakestFirst[i]!.cursor.blockBound(from);
      if (!this.#tooLittle(bound)) return from;
      from = this.#windowEnd(from) + 1;
    }
    return END;
  }

  #windowEnd(target: number): number {
    let end = END;
    for (let i = this.#essential; i < this.#weakestFirst.length; i++) {
      end = Math.min(end, this.#weakestFirst[i]!.cursor.blockEnd(target));
    }
    return end;
  }

  /** Moves the essential cursors to target. @returns the first passage that one of them stands on */
  #draw(target: number): number {
    let first = END;
    for (let i = this.#essential; i < this.#weakestFirst.length; i++) {
      const { cursor } = this.#weakestFirst[i]!;
      cursor.seek(target);
      if (cursor.passage < first) first = cursor.passage;
    }
    return first;
  }

  #scoreCandidate(candidate: number): void {
    const scores = this.#scores;
    let partial = 0;
    for (let i = this.#weakestFirst.length - 1; i >= 0; i--) {
      const { cursor, place } = this.#weakestFirst[i]!;
      if (i < this.#essential) {
        if (this.#tooLittle(partial + this.#boundSums[i + 1]!)) return;
        if (this.#tooLittle(partial + this.#boundSums[i]! + cursor.blockBound(candidate))) return;
        cursor.seek(candidate);
      }
      const score = cursor.passage === candidate ? cursor.score() : 0;
      scores[place] = score;
      partial += score;
    }
    let score = 0; // in the fixed order, as the exhaustive way sums
    for (let place = 0; place < scores.length; place++) score += scores[place]!;
    this.#best.offer(score, this.#retrieval.base + candidate);
  }
}
