/** @file How answers are compared: R1-Searcher's normalisation, where punctuation becomes space (SQuAD's deletes it). */

const punctuation = /[!-/:-@[-`{-~‘’´]/g;
/** Articles as words; letters beyond ASCII count as letters. */
const articles = /(?<![\p{L}\p{N}])(?:a|an|the)(?![\p{L}\p{N}])/gu;

export function normalise(text: string): string {
  return text.toLowerCase().replace(punctuation, " ").replace(articles, " ").replace(/\s+/g, " ").trim();
}

export function wordsOf(normalised: string): string[] {
  return normalised === "" ? [] : normalised.split(" ");
}
