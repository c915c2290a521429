import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { PAGE } from "./format.ts";
import { GrowingNumbers } from "./growing-numbers.ts";

/** A multiple of the page size. */
const FLUSH_BYTES = 1 << 18;

/** Writes a new file front to back in large pieces and computes the checksum of each page; durable once finished. */
export class OutputFile {
  readonly #handle: number;
  readonly #buffer = Buffer.allocUnsafe(FLUSH_BYTES);
  readonly #sums = new GrowingNumbers();
  #buffered = 0;
  #size = 0;
  #open = true;

  constructor(file: string) {
    this.#handle = openSync(file, "wx");
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  write(bytes: Uint8Array): void {
    this.#size += bytes.byteLength;
    if (this.#buffered + bytes.byteLength < FLUSH_BYTES) {
      this.#buffer.set(bytes, this.#buffered);
      this.#buffered += bytes.byteLength;
      return;
    }
    for (let at = 0; at < bytes.byteLength; ) {
      const part = bytes.subarray(at, at + FLUSH_BYTES - this.#buffered);
      this.#buffer.set(part, this.#buffered);
      this.#buffered += part.byteLength;
      at += part.byteLength;
      if (this.#buffered === FLUSH_BYTES) this.#flush();
    }
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#buffered = this.#buffer.writeUInt16LE(value, this.#buffered);
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#buffered = this.#buffer.writeUInt32LE(value, this.#buffered);
  }

  /** 48 bits: enough for 256 TiB. */
  u48(value: number): void {
    this.#reserve(6);
    this.#buffered = this.#buffer.writeUIntLE(value, this.#buffered, 6);
  }

  /** Makes the file durable. @returns the CRC-32 of each of its pages */
  finish(): Uint32Array {
    this.#flush();
    fsyncSync(this.#handle);
    this.close();
    return this.#sums.taken();
  }

  /** Also call it after a failure; it may be called twice. */
  close(): void {
    if (this.#open) closeSync(this.#handle);
    this.#open = false;
  }

  /** A number must not straddle two flushes. Pages are summed in `#flush`, so a flush must end at a page boundary. */
  #reserve(bytes: number): void {
    this.#size += bytes;
    if (this.#buffered + bytes <= FLUSH_BYTES) return;
    const rest = this.#buffered % PAGE;
    this.#put(this.#buffered - rest);
    this.#buffer.copyWithin(0, this.#buffered - rest, this.#buffered);
    this.#buffered = rest;
  }

  #flush(): void {
    this.#put(this.#buffered);
    this.#buffered = 0;
  }

  #put(size: number): void {
    for (let from = 0; from < size; from += PAGE)
      this.#sums.push(crc32(this.#buffer.subarray(from, Math.min(from + PAGE, size))));
    for (let at = 0; at < size; ) at += writeSync(this.#handle, this.#buffer, at, size - at);
  }
}
