/**
 * Number of passages that are scored together: few enough for the processor's caches, enough to outweigh the overhead.
 */
export const WINDOW = 1 << 13;

/** Scores of a range of passages, summed term by term. All zero between windows. */
export class ScoreWindow {
  /** The first passage of the window, and the one after its last. */
  from = 0;
  end = WINDOW;
  /** By position in the window. */
  readonly #sums = new Float64Array(WINDOW);
  /** One bit for each position that was added to, and one bit for each word of those bits that is not zero. */
  readonly #touched = new Int32Array(WINDOW >> 5);
  readonly #words = new Int32Array(WINDOW >> 10);

  move(from: number): void {
    this.from = from;
    this.end = from + WINDOW;
  }

  add(place: number, part: number): void {
    this.#sums[place]! += part;
    this.#touched[place >> 5]! |= 1 << (place & 31);
    this.#words[place >> 10]! |= 1 << ((place >> 5) & 31);
  }

  /** Returns the positions that were added to, in order, and resets everything to zero. */
  drain(take: (place: number, sum: number) => void): void {
    const [sums, touched, words] = [this.#sums, this.#touched, this.#words];
    for (let group = 0; group < words.length; group++) {
      for (let ofWords = words[group]!; ofWords !== 0; ofWords &= ofWords - 1) {
        const word = (group << 5) + lowestBit(ofWords);
        for (let bits = touched[word]!; bits !== 0; bits &= bits - 1) {
          const place = (word << 5) + lowestBit(bits);
          const sum = sums[place]!;
          sums[place] = 0;
          take(place, sum);
        }
        touched[word] = 0;
      }
      words[group] = 0;
    }
  }
}

const lowestBit = (bits: number) => 31 - Math.clz32(bits & -bits);

/** The passages of a window that contain one term, in order. */
export class WindowPostings {
  readonly places = new Int32Array(WINDOW);
  readonly frequencies = new Int32Array(WINDOW);
  count = 0;

  /** @returns 0 if the term is not in that passage */
  frequencyAt(place: number): number {
    const { places } = this;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (places[middle]! < place) low = middle + 1;
      else high = middle;
    }
    return low < this.count && places[low] === place ? this.frequencies[low]! : 0;
  }
}
