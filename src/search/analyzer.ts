/**
 * @file How text becomes terms. The analyzer's name is recorded in every index, because queries must be analysed as the
 * passages were.
 */
import { stemmer } from "stemmer";

export interface Analyzer {
  /** The name recorded in an index. */
  readonly name: AnalyzerName;
  terms(text: string): string[];
}

/** English stop words, which occur everywhere and distinguish nothing. "s" is what remains of a possessive. */
const stopWords = new Set(
  (
    "a an and are as at be been but by did do does for from had has have he her him his how i if in into is it its of on or " +
    "s she so than that the their them then there these they this those to was we were what when where which who whom " +
    "whose why will with you"
  ).split(" "),
);

const beyondAscii = /[\u0080-\uffff]/;

/** A word is a sequence of letters, digits and marks of any script. Words are lower-cased; stop words are dropped. */
export function analyze(text: string): string[] {
  // NFKC does not change ASCII, and on ASCII both patterns match the same words; this one takes half the time
  const words = beyondAscii.test(text)
    ? text
        .normalize("NFKC")
        .toLowerCase()
        .match(/[\p{L}\p{N}\p{M}]+/gu)
    : text.toLowerCase().match(/[a-z0-9]+/g);
  return words === null ? [] : words.filter((word) => !stopWords.has(word));
}

/** Porter's stemmer is for English: a word with anything but a–z is not stemmed. */
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

/** @returns undefined if this program has no analyzer of that name */
export function analyzerOf(name: string): Analyzer | undefined {
  return analyzers.find((analyzer) => analyzer.name === name);
}
