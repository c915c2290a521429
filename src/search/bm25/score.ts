/** @file The arithmetic of BM25, shared by every index so that all of them give the same bits. */
import { ConfigError } from "../../base/errors.ts";
import { analyze } from "../analyzer.ts";

export interface Bm25 {
  /** How fast repeated terms stop counting; ≥ 0. */
  readonly k1: number;
  /** How much long passages are discounted; 0 to 1. */
  readonly b: number;
}

/** Anserini's values: on HotpotQA four points of nDCG@10 above the textbook 1.2 and 0.75. */
const defaults: Bm25 = { k1: 0.9, b: 0.4 };

/** @throws ConfigError where a parameter is out of range */
export function bm25Parameters(given: Partial<Bm25> = {}): Bm25 {
  const { k1, b } = { ...defaults, ...given };
  if (!(k1 >= 0 && k1 < Number.POSITIVE_INFINITY))
    throw new ConfigError(`k1 is ${k1}`, { hint: "give a number ≥ 0, for example 0.9" });
  if (!(b >= 0 && b <= 1)) throw new ConfigError(`b is ${b}`, { hint: "give a number from 0 to 1, for example 0.4" });
  return { k1, b };
}

/** Lucene's inverse document frequency: never negative. */
export function inverseDocumentFrequency(passages: number, withTerm: number): number {
  return Math.log(1 + (passages - withTerm + 0.5) / (withTerm + 0.5));
}

/** What a passage's length adds to the denominator. */
export function lengthNorm({ k1, b }: Bm25, length: number, averageLength: number): number {
  return k1 * (1 - b + (b * length) / averageLength);
}

/** Grows with the frequency and falls with the norm, so (greatest frequency, least norm) bounds any set of passages. */
export function termScore(idf: number, frequency: number, norm: number): number {
  return (idf * frequency) / (frequency + norm);
}

/** The terms of a query, each once, in code unit order: float sums are then the same however an index is cut. */
export function queryTerms(query: string): string[] {
  return [...new Set(analyze(query))].sort();
}

/** @throws ConfigError unless k is a whole number ≥ 1 */
export function checkK(k: number): void {
  if (!Number.isInteger(k) || k < 1)
    throw new ConfigError(`k is ${k}`, { hint: "ask for a whole number of passages, at least 1" });
}
