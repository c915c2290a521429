/** @file What the released servers read of an attempt: the whole text, documents included. */
import { protocols } from "../../protocol/protocol.ts";
import { normalise, wordsOf } from "../text.ts";
import type { TextSpan } from "./spans.ts";

const { answer } = protocols["r1-searcher"];

export interface PromptEdges {
  /** The end of the prompt; whatever stands before its last occurrence is not read. */
  readonly opening: string;
  /** Put after every attempt before it is read. */
  readonly ending: string;
}

/** The text that is judged. An attempt that writes the end of the prompt again is judged from there on. */
export function solutionOf(spans: readonly TextSpan[], { opening, ending }: PromptEdges): string {
  const text = spans.map((span) => span.text).join("");
  return (text.split(opening).at(-1)! + ending).trim();
}

/** From the last opening tag to the closing tag after it; from the start or to the end where one is missing. */
export function predictionIn(solution: string): string {
  return solution.split(answer.open).at(-1)!.split(answer.close)[0]!.trim();
}

export function hasAnswerTags(solution: string): boolean {
  return solution.includes(answer.open) && solution.includes(answer.close);
}

export function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}

/** "True" and "False" are yes and no here, though not in the released evaluation. */
function comparable(text: string): string {
  return normalise(text === "True" ? "yes" : text === "False" ? "no" : text);
}

const verdicts = new Set(["yes", "no", "noanswer"]);

/** Unlike `f1` of the metrics, gold of which normalisation leaves nothing can never be reached. */
export function releasedF1(prediction: string, gold: string): number {
  const [said, wanted] = [comparable(prediction), comparable(gold)];
  if ((verdicts.has(said) || verdicts.has(wanted)) && said !== wanted) return 0;
  const left = new Map<string, number>();
  for (const word of wordsOf(wanted)) left.set(word, (left.get(word) ?? 0) + 1);
  const shared = wordsOf(said).filter((word) => {
    const count = left.get(word) ?? 0;
    left.set(word, count - 1);
    return count > 0;
  }).length;
  return (2 * shared) / Math.max(1, wordsOf(said).length + wordsOf(wanted).length);
}

/** Every word of the gold answer, in any order; gold of which nothing is left is covered by such a prediction only. */
export function releasedCoverEm(prediction: string, gold: string): boolean {
  const said = new Set(comparable(prediction).split(" "));
  return comparable(gold)
    .split(" ")
    .every((word) => said.has(word));
}
