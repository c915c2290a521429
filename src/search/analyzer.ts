/** @file How text becomes terms. Recorded in every index: a query must be cut as the passages were. */
import { stemmer } from "stemmer";

export interface Analyzer {
  /** What an index records. */
  readonly name: AnalyzerName;
  terms(text: string): string[];
}

/** Function words of English: they match everything and tell nothing apart. "s" is what a possessive leaves behind. */
const stopWords = new Set(
  (
    "a an and are as at be been but by did do does for from had has have he her him his how i if in into is it its of on or " +
    "s she so than that the their them then there these they this those to was we were what when where which who whom " +
    "whose why will with you"
  ).split(" "),
);

const beyondAscii = /[\u0080-\uffff]/;

/** Letters, digits and marks of any script make a word; lower case; function words dropped. */
export function analyze(text: string): string[] {
  // NFKC leaves ASCII as it is, and the ASCII pattern is what the Unicode one says there, at half the price
  const words = beyondAscii.test(text)
    ? text
        .normalize("NFKC")
        .toLowerCase()
        .match(/[\p{L}\p{N}\p{M}]+/gu)
    : text.toLowerCase().match(/[a-z0-9]+/g);
  return words === null ? [] : words.filter((word) => !stopWords.has(word));
}

/** Porter's rules are for English: a word with anything but a–z stays as it is. */
function stemmed(text: string): string[] {
  return analyze(text).map(stemOf);
}

const stems = new Map<string, string>();
const KEPT_STEMS = 100_000;

function stemOf(word: string): string {
  let stem = stems.get(word);
  if (stem !== undefined) return stem;
  if (stems.size >= KEPT_STEMS) stems.clear();
  stem = /^[a-z]{3,}$/.test(word) ? stemmer(word) : word;
  stems.set(word, stem);
  return stem;
}

export const analyzerNames = ["unicode-v1", "unicode-v1+porter"] as const;
export type AnalyzerName = (typeof analyzerNames)[number];

export const defaultAnalyzer: Analyzer = { name: "unicode-v1", terms: analyze };
const analyzers: readonly Analyzer[] = [defaultAnalyzer, { name: "unicode-v1+porter", terms: stemmed }];

/** @returns undefined where this program has none of that name */
export function analyzerOf(name: string): Analyzer | undefined {
  return analyzers.find((analyzer) => analyzer.name === name);
}
