import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { basename } from "node:path";
import type { FileManifest } from "./format.ts";

const FLUSH_BYTES = 1 << 20;

/** A new file written front to back in large pieces, hashed on the way, durable once finished. */
export class OutputFile {
  readonly #name: string;
  readonly #hash = createHash("sha256");
  readonly #handle: number;
  readonly #buffer = Buffer.allocUnsafe(FLUSH_BYTES);
  #buffered = 0;
  #size = 0;
  #open = true;

  constructor(file: string) {
    this.#name = basename(file);
    this.#handle = openSync(file, "wx");
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  write(bytes: Uint8Array): void {
    this.#size += bytes.byteLength;
    if (this.#buffered + bytes.byteLength > FLUSH_BYTES) this.#flush();
    if (bytes.byteLength > FLUSH_BYTES) {
      this.#put(bytes);
    } else {
      this.#buffer.set(bytes, this.#buffered);
      this.#buffered += bytes.byteLength;
    }
  }

  finish(): FileManifest {
    this.#flush();
    fsyncSync(this.#handle);
    this.close();
    return { name: this.#name, size: this.#size, sha256: this.#hash.digest("hex") };
  }

  /** Also after a failure; may be called twice. */
  close(): void {
    if (this.#open) closeSync(this.#handle);
    this.#open = false;
  }

  #flush(): void {
    this.#put(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  #put(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    for (let at = 0; at < bytes.byteLength; )
      at += writeSync(this.#handle, bytes, at, Math.min(bytes.byteLength - at, 1 << 30));
  }
}
