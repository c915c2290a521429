/** @file How text becomes terms. Recorded in every index: a query must be cut as the passages were. */
export const ANALYZER = "unicode-v1";

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
