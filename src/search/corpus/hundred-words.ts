const WORDS = 100;

/** Runs of 100 words, as the corpora of this field are cut; what stands between words becomes one space. */
export function inHundredWords(text: string): string[] {
  const words = text.match(/\S+/g) ?? [];
  const runs: string[] = [];
  for (let from = 0; from < words.length; from += WORDS) runs.push(words.slice(from, from + WORDS).join(" "));
  return runs;
}
