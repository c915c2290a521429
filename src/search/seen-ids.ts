/**
 * The ids of a corpus and where they stood. Ids that count up by one from the first, as in every large dump, take a
 * number each; others a map entry, of which there can be 16 million.
 */
export class SeenIds {
  #first: number | undefined;
  /** Where the ids first, first + 1, … stood. */
  readonly #counted: number[] = [];
  readonly #others = new Map<string, number>();

  /** @returns where the id stood before, or undefined where it is new */
  add(id: string, at: number): number | undefined {
    const number = /^(0|[1-9]\d{0,14})$/.test(id) ? Number(id) : undefined;
    this.#first ??= number;
    if (number !== undefined && this.#first !== undefined) {
      const index = number - this.#first;
      if (index >= 0 && index < this.#counted.length) return this.#counted[index];
      if (index === this.#counted.length && !this.#others.has(id)) {
        this.#counted.push(at);
        return undefined;
      }
    }
    const earlier = this.#others.get(id);
    if (earlier === undefined) this.#others.set(id, at);
    return earlier;
  }
}
