/**
 * @file Integers from 0 to 2³²−1 as varints of 1 to 5 bytes (seven bits each, low bits first), and integers of fixed
 * width.
 */

/** A byte string that grows. */
export class VarintWriter {
  #bytes = new Uint8Array(1 << 12);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(value: number): void {
    this.#reserve(5);
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#length++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#bytes[this.#length++] = value & 255;
    this.#bytes[this.#length++] = value >>> 8;
  }

  u32(value: number): void {
    this.u16(value & 0xffff);
    this.u16(value >>> 16);
  }

  u48(value: number): void {
    this.u32(value % 2 ** 32);
    this.u16(Math.floor(value / 2 ** 32));
  }

  /** Valid until the next change. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    grown.set(this.view());
    this.#bytes = grown;
  }
}

/**
 * Reads what the writer wrote. After the end it returns zeros and `position` exceeds `end`, which the caller must
 * check.
 */
export class VarintReader {
  bytes: Uint8Array;
  position: number;
  end: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.position = 0;
    this.end = bytes.length;
  }

  next(): number {
    let byte = this.bytes[this.position++]!;
    if (byte < 128) return byte;
    let value = byte & 127;
    for (let shift = 7; shift < 35; shift += 7) {
      byte = this.bytes[this.position++]!;
      value |= (byte & 127) << shift;
      if (!(byte >= 128)) break; // undefined, after the end of the bytes, ends the loop too
    }
    return value >>> 0;
  }
}
