/** @file Passages and queries whose texts are numbers, which name their vectors. */
import { randomOf } from "../../../base/random.ts";
import type { Passage } from "../../../protocol/passage.ts";
import type { Encoder } from "../encoder.ts";
import { wordsEncoder } from "./words-encoder.ts";

const DIMENSION = 48;
export const numbered = (count: number): Passage[] =>
  Array.from({ length: count }, (_, i) => ({ id: `p${i}`, title: "", text: String(i) }));

/** Vectors by number: passages and queries are their numbers, as text. */
export function vectorsEncoder(rows: readonly Float32Array[]): Encoder {
  const encode = async (texts: readonly string[]) => texts.map((text) => rows[Number(text)]!);
  return { ...wordsEncoder(), dimension: DIMENSION, encodeQueries: encode, encodePassages: encode };
}

export function randomRows(count: number, key: string): Float32Array[] {
  const random = randomOf(7, key);
  return Array.from({ length: count }, () => Float32Array.from({ length: DIMENSION }, () => random.normal()));
}

/** The bytes of a flat index, as FAISS writes them; `test/parity/make_vector_fixtures.py` has FAISS itself write one. */
export function faissBytes(rows: readonly Float32Array[], metric: "ip" | "l2"): Buffer {
  const header = Buffer.alloc(45);
  header.write(metric === "ip" ? "IxFI" : "IxF2");
  header.writeInt32LE(DIMENSION, 4);
  header.writeBigInt64LE(BigInt(rows.length), 8);
  header.writeBigInt64LE(1n << 20n, 16);
  header.writeBigInt64LE(1n << 20n, 24);
  header[32] = 1;
  header.writeInt32LE(metric === "ip" ? 0 : 1, 33);
  header.writeBigUInt64LE(BigInt(rows.length * DIMENSION), 37);
  return Buffer.concat([header, ...rows.map((row) => Buffer.from(row.buffer))]);
}

const fixtures = new URL("../../../../test/parity/fixtures/vectors/", import.meta.url);
/** The path of a file that FAISS or NumPy wrote. */
export const fixture = (name: string) => new URL(name, fixtures).pathname;

export async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
