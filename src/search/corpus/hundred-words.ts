const WORDS = 100;

/**
 * Cuts a text into passages of 100 words, as the usual corpora are cut; white space between words becomes one space.
 */
export function inHundredWords(text: string): string[] {
  const words = text.match(/\S+/g) ?? [];
  const runs: string[] = [];
  for (let from = 0; from < words.length; from += WORDS) runs.push(words.slice(from, from + WORDS).join(" "));
  return runs;
}
