/**
 * @file An encoder for tests that hashes words, so that texts with common words are near each other. It needs no model
 * and no file.
 */
import { defaultAnalyzer } from "../../analyzer.ts";
import type { Encoder } from "../encoder.ts";

export function wordsEncoder(dimension = 2048): Encoder {
  const encode = async (texts: readonly string[]) => texts.map((text) => vectorOf(text, dimension));
  return {
    dimension,
    identity: { source: "words", fingerprint: `words-${dimension}`, settings: {} },
    encodeQueries: encode,
    encodePassages: encode,
    close: async () => {},
  };
}

function vectorOf(text: string, dimension: number): Float32Array {
  const vector = new Float32Array(dimension);
  for (const term of defaultAnalyzer.terms(text)) {
    let hash = 0x811c9dc5;
    for (let i = 0; i < term.length; i++) hash = Math.imul(hash ^ term.charCodeAt(i), 0x01000193);
    hash ^= hash >>> 15;
    vector[(hash >>> 1) % dimension]! += hash & 1 ? 1 : -1;
  }
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return length > 0 ? vector.map((x) => x / length) : vector;
}
