/** @file Every metric takes a prediction and all gold answers, is from 0 to 1, and counts the best gold. */
import { normalise, wordsOf } from "./text.ts";

type Metric = (prediction: string, gold: readonly string[]) => number;

/** Words that are right or wrong as a whole: sharing one with a longer answer earns nothing. */
const verdicts = new Set(["yes", "no", "noanswer"]);

export const exactMatch: Metric = best((prediction, gold) => Number(prediction === gold));

/** Every word of the gold answer occurs in the prediction, in any order. */
export const coverEm: Metric = best((prediction, gold) => {
  const words = new Set(wordsOf(prediction));
  return Number(wordsOf(gold).every((word) => words.has(word)));
});

/** The gold answer stands in the prediction as it is. */
export const coverEm2: Metric = best((prediction, gold) => Number(prediction.includes(gold)));

/** Harmonic mean of precision and recall over words, each counted as often as it occurs. */
export const f1: Metric = best((prediction, gold) => {
  if ((verdicts.has(prediction) || verdicts.has(gold)) && prediction !== gold) return 0;
  const [said, wanted] = [wordsOf(prediction), wordsOf(gold)];
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of said) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    left.set(word, count - 1);
    shared++;
  }
  return shared === 0 ? 0 : (2 * shared) / (said.length + wanted.length);
});

/** Gold of which normalisation leaves nothing ("The The", "!!!") is compared letter by letter: nothing else covers it. */
function best(metric: (prediction: string, gold: string) => number): Metric {
  return (prediction, gold) => {
    const said = normalise(prediction);
    let highest = 0;
    for (const answer of gold) {
      const wanted = normalise(answer);
      const score =
        wanted === "" ? Number(prediction.trim().toLowerCase() === answer.trim().toLowerCase()) : metric(said, wanted);
      highest = Math.max(highest, score);
    }
    return highest;
  };
}
