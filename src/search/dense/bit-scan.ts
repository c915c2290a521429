/**
 * @file A scan over one bit per component, its sign. It takes an eighth of the memory of int8, for indexes that would
 * not fit otherwise. It returns many candidates, which are read from disk and scored exactly.
 */
import type { Scan, ScanSource } from "./scan.ts";

/** Ordering by signs is rough: among this many candidates, and ten times k, almost all of the true best are found. */
const LEAST_CANDIDATES = 1000;
const SHARE = 10;

export function openBitScan(source: ScanSource): Scan {
  const { count, dimension } = source;
  const words = Math.ceil(dimension / 32);
  const signs = signsOf(source, words);
  const distances = new Uint16Array(count);
  return {
    async candidates(queries, depth) {
      const most = Math.min(count, Math.max(LEAST_CANDIDATES, SHARE * depth));
      return queries.map((query) => {
        measure(signs, packed(query, words), distances);
        return nearest(distances, most, dimension);
      });
    },
    close: async () => {},
  };
}

function signsOf({ count, dimension, codes }: ScanSource, words: number): Uint32Array {
  const signs = new Uint32Array(count * words);
  let row = 0;
  let column = 0;
  for (const piece of codes()) {
    for (const code of piece) {
      if (code > 0) signs[row * words + (column >> 5)]! |= 1 << (column & 31);
      if (++column < dimension) continue;
      column = 0;
      row++;
    }
  }
  return signs;
}

function packed(query: Float32Array, words: number): Uint32Array {
  const bits = new Uint32Array(words);
  query.forEach((x, i) => {
    if (x > 0) bits[i >> 5]! |= 1 << (i & 31);
  });
  return bits;
}

/** By row: the number of different signs (Hamming distance). */
function measure(signs: Uint32Array, query: Uint32Array, distances: Uint16Array): void {
  const words = query.length;
  for (let row = 0, at = 0; row < distances.length; row++) {
    let distance = 0;
    for (let word = 0; word < words; word++) {
      let x = signs[at++]! ^ query[word]!;
      x -= (x >>> 1) & 0x55555555;
      x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
      distance += Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
    }
    distances[row] = distance;
  }
}

/** The nearest rows; ties go to the earlier one. */
function nearest(distances: Uint16Array, most: number, farthest: number): number[] {
  const counts = new Uint32Array(farthest + 1);
  for (const distance of distances) counts[distance]! += 1;
  let limit = 0;
  let inside = 0;
  while (inside + counts[limit]! < most) inside += counts[limit++]!;
  let atLimit = most - inside;
  const rows: number[] = [];
  for (let row = 0; row < distances.length; row++) {
    const distance = distances[row]!;
    if (distance < limit || (distance === limit && atLimit-- > 0)) rows.push(row);
  }
  return rows;
}
