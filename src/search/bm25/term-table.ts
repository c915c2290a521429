import { GrowingNumbers } from "./growing-numbers.ts";

const beyondAscii = /[\u0080-\uffff]/;

/**
 * Numbers terms from 0 in the order of their first occurrence and stores their UTF-8 bytes. It is a hash table in typed
 * arrays, which are reused for the next segment; a Map of strings would leave hundreds of thousands of objects to the
 * garbage collector.
 */
export class TermTable {
  /**
   * By slot: a term's number plus one, or 0 if the slot is free. Open addressing; the number of slots is a power of
   * two.
   */
  #slots = new Int32Array(1 << 12);
  readonly #hashes = new GrowingNumbers();
  /** By term: the end of its bytes. */
  readonly #ends = new GrowingNumbers();
  #bytes = new Uint8Array(1 << 14);

  get size(): number {
    return this.#ends.length;
  }

  clear(): void {
    this.#slots.fill(0);
    this.#hashes.length = 0;
    this.#ends.length = 0;
  }

  /** @returns the term's number; if the term is new, that is `size` before the call */
  number(term: string): number {
    const bytes = beyondAscii.test(term) ? Buffer.from(term) : undefined;
    const length = bytes?.length ?? term.length;
    let hash = 0x811c9dc5;
    for (let i = 0; i < length; i++) hash = Math.imul(hash ^ (bytes?.[i] ?? term.charCodeAt(i)), 0x01000193);
    hash = (hash ^ (hash >>> 15)) >>> 0;
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot]! - 1;
      if (number < 0) return this.#add(slot, hash, bytes ?? Buffer.from(term, "latin1"));
      if (this.#hashes.values[number] === hash && this.#equals(number, bytes ?? term)) return number;
    }
  }

  /** The term's UTF-8 bytes, valid until another term is added. */
  bytes(number: number): Uint8Array {
    return this.#bytes.subarray(this.#from(number), this.#ends.values[number]!);
  }

  /** All term numbers, sorted by the terms' bytes. */
  sorted(): Uint32Array {
    const prefixes = Float64Array.from({ length: this.size }, (_, number) => this.#prefix(number));
    const numbers = Uint32Array.from({ length: this.size }, (_, number) => number);
    return numbers.sort((a, b) => prefixes[a]! - prefixes[b]! || this.#compare(a, b));
  }

  #from(number: number): number {
    return number === 0 ? 0 : this.#ends.values[number - 1]!;
  }

  #equals(number: number, term: Uint8Array | string): boolean {
    const from = this.#from(number);
    if (this.#ends.values[number]! - from !== term.length) return false;
    for (let i = 0; i < term.length; i++) {
      if (this.#bytes[from + i] !== (typeof term === "string" ? term.charCodeAt(i) : term[i])) return false;
    }
    return true;
  }

  #add(slot: number, hash: number, bytes: Uint8Array): number {
    const number = this.size;
    const from = this.#from(number);
    const end = from + bytes.length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, from);
    this.#ends.push(end);
    this.#hashes.push(hash);
    this.#slots[slot] = number + 1;
    if (this.size * 2 > this.#slots.length) this.#grow();
    return number;
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let number = 0; number < this.size; number++) {
      let slot = this.#hashes.values[number]! & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = number + 1;
    }
  }

  /** The first six bytes as a number, which decides most comparisons. */
  #prefix(number: number): number {
    const from = this.#from(number);
    const end = this.#ends.values[number]!;
    let prefix = 0;
    for (let at = from; at < from + 6; at++) prefix = prefix * 256 + (at < end ? this.#bytes[at]! : 0);
    return prefix;
  }

  #compare(a: number, b: number): number {
    const [fromA, fromB] = [this.#from(a), this.#from(b)];
    const [lengthA, lengthB] = [this.#ends.values[a]! - fromA, this.#ends.values[b]! - fromB];
    for (let i = 0; i < lengthA && i < lengthB; i++) {
      const difference = this.#bytes[fromA + i]! - this.#bytes[fromB + i]!;
      if (difference !== 0) return difference;
    }
    return lengthA - lengthB;
  }
}
