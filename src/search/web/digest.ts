/**
 * @file Picks the part of a page that is relevant to a query: the window of sentences with most of its words. It needs
 * no model.
 */
import { analyze } from "../analyzer.ts";

/** @returns undefined if nothing on the page is relevant */
export type Digest = (query: string, text: string, signal?: AbortSignal) => Promise<string | undefined>;

interface Sentence {
  readonly text: string;
  readonly words: number;
  /** Which of the query's words it contains. */
  readonly found: ReadonlySet<string>;
}

/**
 * Scores windows like BM25 over sentences: each word counts once per window, with more weight the rarer it is on the
 * page.
 */
export function bestWindow(query: string, text: string, mostWords = 150): string | undefined {
  const asked = new Set(analyze(query));
  const sentences = sentencesOf(text, asked, mostWords);
  const weightOf = weights(asked, sentences);
  let best: { from: number; to: number; score: number } | undefined;
  for (let from = 0; from < sentences.length; from++) {
    if (sentences[from]!.found.size === 0) continue;
    const seen = new Set<string>();
    let [words, score] = [0, 0];
    for (let to = from; to < sentences.length && words + sentences[to]!.words <= mostWords; to++) {
      words += sentences[to]!.words;
      for (const word of sentences[to]!.found) {
        if (!seen.has(word)) score += weightOf(word);
        else score += 0.1 * weightOf(word);
        seen.add(word);
      }
      if (best === undefined || score > best.score) best = { from, to, score };
    }
  }
  if (best === undefined) return undefined;
  return grown(sentences, best, mostWords)
    .map((sentence) => sentence.text)
    .join(" ");
}

/**
 * Extends the window by the sentences after and before it while there is room: the answer is often next to the words of
 * the question.
 */
function grown(sentences: readonly Sentence[], { from, to }: { from: number; to: number }, mostWords: number) {
  const size = (at: number) => sentences[at]?.words ?? Number.POSITIVE_INFINITY;
  let words = sentences.slice(from, to + 1).reduce((sum, sentence) => sum + sentence.words, 0);
  let [first, last] = [from, to];
  while (words + size(last + 1) <= mostWords) words += size(++last);
  while (words + size(first - 1) <= mostWords) words += size(--first);
  return sentences.slice(first, last + 1);
}

/** A word; in text written without spaces, a number of characters that counts as one. */
const longRun = / ?\S{1,40}/gu;

function sentencesOf(text: string, asked: ReadonlySet<string>, mostWords: number): Sentence[] {
  const sentences: Sentence[] = [];
  for (const line of text.split(/\n+/)) {
    for (const piece of line.split(/(?<=[.!?]["'”’)]?)\s+|(?<=[。！？][”’」』）]?)(?![”’」』）])\s*/u)) {
      const words = piece.replace(/\s+/g, " ").match(longRun) ?? [];
      for (let at = 0; at < words.length; at += mostWords) {
        const part = words.slice(at, at + mostWords);
        const text = part.join("").trim();
        const found = new Set(analyze(text).filter((word) => asked.has(word)));
        sentences.push({ text, words: part.length, found });
      }
    }
  }
  return sentences;
}

function weights(asked: ReadonlySet<string>, sentences: readonly Sentence[]): (word: string) => number {
  const n = sentences.length;
  const weight = new Map<string, number>();
  for (const word of asked) {
    const having = sentences.reduce((count, { found }) => count + (found.has(word) ? 1 : 0), 0);
    weight.set(word, Math.log(1 + (n - having + 0.5) / (having + 0.5)));
  }
  return (word) => weight.get(word)!;
}

export const windowDigest: Digest = async (query, text) => bestWindow(query, text);
