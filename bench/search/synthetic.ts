/**
 * @file A corpus for speed alone: passages of 100 words whose frequencies fall as in real text (Zipf–Mandelbrot), with
 * English function words on top. No claim about the quality of a ranking comes from it.
 */
import { randomOf } from "../../src/base/random.ts";
import type { Passage } from "../../src/protocol/passage.ts";

const functionWords = (
  "the of and in to a is was for as on with by he at from his that it an are were which be this had also has or their " +
  "her she they who its have been but one not"
).split(" ");
const VOCABULARY = 1_500_000;
const EXPONENT = 1.03;
const SHIFT = 2.7;
const WORDS = 100;

const weight = (rank: number) => (rank + SHIFT) ** -EXPONENT;

/** Cumulated weights: a word is drawn by bisection. */
const cumulated = (() => {
  const sums = new Float64Array(VOCABULARY);
  let sum = 0;
  for (let rank = 0; rank < VOCABULARY; rank++) sums[rank] = sum += weight(rank);
  return sums;
})();

function drawRank(uniform: number): number {
  const wanted = uniform * cumulated[VOCABULARY - 1]!;
  let low = 0;
  let high = VOCABULARY - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (cumulated[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Letters only, so that every analyzer takes it for one word. */
export function wordOf(rank: number): string {
  if (rank < functionWords.length) return functionWords[rank]!;
  let rest = rank;
  let word = "";
  do {
    word = String.fromCharCode(97 + (rest % 26)) + word;
    rest = Math.floor(rest / 26);
  } while (rest > 0);
  return `${word}q`; // no function word ends in q
}

export function ranksOf(seed: number, at: number): number[] {
  const random = randomOf(seed, "synthetic", at);
  return Array.from({ length: WORDS }, () => drawRank(random.next()));
}

export function* syntheticPassages(count: number, seed = 1): Generator<Passage> {
  for (let at = 0; at < count; at++) {
    const words = ranksOf(seed, at).map(wordOf);
    yield { id: String(at), title: words.slice(0, 3).join(" "), text: words.slice(3).join(" ") };
  }
}

export interface SyntheticQueries {
  /** Three function words, three words of middling frequency and a rare one, all of one passage. */
  readonly allWords: readonly string[];
  /** The same without the function words. */
  readonly keywords: readonly string[];
}

/** @param use queries of another use are others */
export function syntheticQueries(passages: number, count: number, use: string, seed = 1): SyntheticQueries {
  const random = randomOf(seed, "queries", use);
  const allWords: string[] = [];
  const keywords: string[] = [];
  while (keywords.length < count) {
    const ranks = ranksOf(seed, random.int(passages));
    const middling = ranks.filter((rank) => rank >= 200 && rank < 20_000).slice(0, 3);
    const rare = ranks.filter((rank) => rank >= 20_000).slice(0, 1);
    const common = ranks.filter((rank) => rank < functionWords.length).slice(0, 3);
    if (middling.length < 3 || rare.length < 1 || common.length < 3) continue;
    keywords.push([...middling, ...rare].map(wordOf).join(" "));
    allWords.push([...common, ...middling, ...rare].map(wordOf).join(" "));
  }
  return { allWords, keywords };
}
