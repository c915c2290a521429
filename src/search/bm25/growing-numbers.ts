/** A growing list of u32 in a typed array: it avoids boxed numbers for millions of entries. */
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

  /** Makes room for this many values, which are then undefined. @returns the memory, valid until the next change */
  sized(length: number): Uint32Array {
    if (length > this.values.length) this.values = new Uint32Array(2 ** Math.ceil(Math.log2(length)));
    this.length = length;
    return this.values;
  }

  /** A copy of what was pushed. */
  taken(): Uint32Array {
    return this.values.slice(0, this.length);
  }
}
