/**
 * @file Stores the vectors of texts encoded so far beside an index that is being built, because encoding takes hours
 * and the rest takes minutes. A header is followed, for each text in order, by the first 16 bytes of its SHA-256, its
 * vector and the CRC-32 of both. A record that a crash left incomplete is dropped and encoded again.
 */
import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { ConfigError } from "../../base/errors.ts";

const MAGIC = "R1SENC1\n";
/** Magic, SHA-256 of the encoder's fingerprint, u32 dimension, CRC-32 of these. */
const HEADER_BYTES = 48;
const DIGEST_BYTES = 16;
const MAX_DIMENSION = 65_536;

export class EncodedTexts {
  readonly #handle: number;
  readonly #encoder: Buffer;
  #dimension: number | undefined;
  /** Position up to which vectors were read or written. */
  #end = 0;
  #count = 0;
  #isReading: boolean;

  /** @throws ConfigError if the vectors are of another encoder */
  constructor(file: string, fingerprint: string) {
    this.#handle = openSync(file, "a+");
    this.#encoder = createHash("sha256").update(fingerprint).digest();
    try {
      this.#dimension = this.#readHeader(file);
    } catch (error) {
      closeSync(this.#handle);
      throw error;
    }
    this.#isReading = this.#dimension !== undefined;
    if (this.#isReading) this.#end = HEADER_BYTES;
    else ftruncateSync(this.#handle, 0);
  }

  /** Number of texts whose vectors are in the file. */
  get count(): number {
    return this.#count;
  }

  /** Returns stored vectors for the first texts; from the first text without one, nothing more is returned. */
  take(texts: readonly string[]): Float32Array[] {
    const vectors: Float32Array[] = [];
    while (this.#isReading && vectors.length < texts.length) {
      const vector = this.#next(digestOf(texts[vectors.length]!));
      if (vector === undefined) {
        this.#isReading = false;
        ftruncateSync(this.#handle, this.#end);
      } else vectors.push(vector);
    }
    return vectors;
  }

  /** Call it after `take` returned fewer vectors than texts. */
  add(texts: readonly string[], vectors: readonly Float32Array[]): void {
    if (texts.length === 0) return;
    const dimension = vectors[0]!.length;
    // a vector of another length is refused by the index; it need not be stored here
    if (vectors.some(({ length }) => length !== (this.#dimension ?? dimension))) return;
    const parts = texts.map((text, i) => recordOf(digestOf(text), vectors[i]!));
    const all = Buffer.concat(this.#dimension === undefined ? [this.#headerOf(dimension), ...parts] : parts);
    this.#dimension = dimension;
    for (let at = 0; at < all.length; ) at += writeSync(this.#handle, all, at);
    this.#end += all.length;
    this.#count += texts.length;
  }

  close(): void {
    closeSync(this.#handle);
  }

  #next(digest: Buffer): Float32Array | undefined {
    const bytes = Buffer.alloc(DIGEST_BYTES + this.#dimension! * 4 + 4);
    if (!this.#read(bytes, this.#end)) return undefined;
    const body = bytes.subarray(0, -4);
    if (!body.subarray(0, DIGEST_BYTES).equals(digest) || crc32(body) !== bytes.readUInt32LE(body.length))
      return undefined;
    this.#end += bytes.length;
    this.#count++;
    return new Float32Array(body.buffer.slice(body.byteOffset + DIGEST_BYTES, body.byteOffset + body.length));
  }

  /** @returns the vectors' length; undefined if the file is empty or its header is incomplete */
  #readHeader(file: string): number | undefined {
    const header = Buffer.alloc(HEADER_BYTES);
    if (!this.#read(header, 0)) return undefined;
    const dimension = header.readUInt32LE(40);
    if (header.toString("latin1", 0, 8) !== MAGIC || crc32(header.subarray(0, 44)) !== header.readUInt32LE(44))
      return undefined;
    if (!header.subarray(8, 40).equals(this.#encoder))
      throw new ConfigError(`${file} holds vectors of another encoder`, {
        hint: "resume with the same encoder and prefixes, or start again with --overwrite",
      });
    return dimension >= 1 && dimension <= MAX_DIMENSION ? dimension : undefined;
  }

  #headerOf(dimension: number): Buffer {
    const header = Buffer.alloc(HEADER_BYTES);
    header.write(MAGIC, "latin1");
    this.#encoder.copy(header, 8);
    header.writeUInt32LE(dimension, 40);
    header.writeUInt32LE(crc32(header.subarray(0, 44)), 44);
    return header;
  }

  /** @returns whether it could be read completely */
  #read(bytes: Buffer, from: number): boolean {
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(this.#handle, bytes, at, bytes.length - at, from + at);
      if (read === 0) return false;
      at += read;
    }
    return true;
  }
}

const digestOf = (text: string) => createHash("sha256").update(text).digest().subarray(0, DIGEST_BYTES);

function recordOf(digest: Buffer, vector: Float32Array): Buffer {
  const body = Buffer.concat([digest, Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)]);
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(body));
  return Buffer.concat([body, sum]);
}
