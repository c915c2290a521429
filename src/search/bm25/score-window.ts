/** So many passages are scored together: few enough for the processor's caches, enough to be worth their overhead. */
export const WINDOW = 1 << 13;

/** Scores of a run of passages, summed term by term. All zero between windows. */
export class ScoreWindow {
  /** Its first passage, and the first behind it. */
  from = 0;
  end = WINDOW;
  /** By place in the window. */
  readonly #sums = new Float64Array(WINDOW);
  /** One bit for each place that was added to. */
  readonly #touched = new Int32Array(WINDOW >> 5);

  move(from: number): void {
    this.from = from;
    this.end = from + WINDOW;
  }

  add({ places, parts, count }: TermParts): void {
    const [sums, touched] = [this.#sums, this.#touched];
    for (let i = 0; i < count; i++) {
      const place = places[i]!;
      sums[place]! += parts[i]!;
      touched[place >> 5]! |= 1 << (place & 31);
    }
  }

  /** In the order of places, those that were added to; all is zero again then. */
  drain(take: (place: number, sum: number) => void): void {
    const [sums, touched] = [this.#sums, this.#touched];
    for (let word = 0; word < touched.length; word++) {
      for (let bits = touched[word]!; bits !== 0; bits &= bits - 1) {
        const place = (word << 5) + 31 - Math.clz32(bits & -bits);
        const sum = sums[place]!;
        sums[place] = 0;
        take(place, sum);
      }
      touched[word] = 0;
    }
  }
}

/** What one term gives to the passages of a window, in their order. */
export class TermParts {
  readonly places = new Int32Array(WINDOW);
  readonly parts = new Float64Array(WINDOW);
  count = 0;

  visit(take: (place: number, part: number) => void): void {
    for (let i = 0; i < this.count; i++) take(this.places[i]!, this.parts[i]!);
  }

  /** @returns 0 where the term is not in that passage */
  at(place: number): number {
    const { places } = this;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (places[middle]! < place) low = middle + 1;
      else high = middle;
    }
    return low < this.count && places[low] === place ? this.parts[low]! : 0;
  }
}
