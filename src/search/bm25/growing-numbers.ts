/** A list of u32 that grows by doubling: no boxed numbers for millions of them. */
export class GrowingNumbers {
  values = new Uint32Array(1 << 10);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const grown = new Uint32Array(this.length * 2);
      grown.set(this.values);
      this.values = grown;
    }
    this.values[this.length++] = value;
  }

  /** Empties the list and keeps its memory. */
  clear(): void {
    this.length = 0;
  }

  /** A copy of what was pushed. */
  taken(): Uint32Array {
    return this.values.slice(0, this.length);
  }
}
