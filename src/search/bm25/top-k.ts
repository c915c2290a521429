export interface Candidate {
  readonly score: number;
  /** Position in the corpus. */
  readonly at: number;
}

const isWorse = (a: Candidate, b: Candidate) => a.score < b.score || (a.score === b.score && a.at > b.at);

/** Keeps the k best candidates: higher scores first, ties by position in the corpus. */
export class TopK {
  readonly #k: number;
  /** A heap whose root is the worst of the kept candidates. */
  readonly #heap: Candidate[] = [];

  constructor(k: number) {
    this.#k = k;
  }

  /** A candidate with a score below this, or equal to it and from a later position, cannot enter. */
  threshold = Number.NEGATIVE_INFINITY;

  offer(score: number, at: number): void {
    if (score < this.threshold) return;
    const candidate = { score, at };
    if (this.#heap.length < this.#k) {
      this.#heap.push(candidate);
      this.#up(this.#heap.length - 1);
    } else if (isWorse(this.#heap[0]!, candidate)) {
      this.#heap[0] = candidate;
      this.#down();
    }
    if (this.#heap.length === this.#k) this.threshold = this.#heap[0]!.score;
  }

  /** Best first. */
  sorted(): Candidate[] {
    return [...this.#heap].sort((a, b) => b.score - a.score || a.at - b.at);
  }

  #up(from: number): void {
    const heap = this.#heap;
    for (let i = from; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!isWorse(heap[i]!, heap[parent]!)) return;
      [heap[i], heap[parent]] = [heap[parent]!, heap[i]!];
      i = parent;
    }
  }

  #down(): void {
    const heap = this.#heap;
    for (let i = 0; ; ) {
      let worst = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && isWorse(heap[child]!, heap[worst]!)) worst = child;
      }
      if (worst === i) return;
      [heap[i], heap[worst]] = [heap[worst]!, heap[i]!];
      i = worst;
    }
  }
}
