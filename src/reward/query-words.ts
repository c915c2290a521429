/** @file Does a query ask about the question? */
import { normalise, wordsOf } from "./text.ts";

/** English words that say nothing of what is asked about. */
const empty = new Set(
  (
    "and are as at be been but by can could did do does for from had has have he her his how i if in into is it its me my no not of on or our " +
    "she should so than that their them then there these they this those to up us was we were what when where which while who whom whose why " +
    "will with would you your both same between during after before other also"
  ).split(" "),
);

export function contentWords(text: string): string[] {
  return [...new Set(wordsOf(normalise(text)))].filter((word) => !empty.has(word));
}

export interface QueryWords {
  /** Content words of the question in the query. */
  readonly shared: number;
  /** Content words of the question. */
  readonly of: number;
  /** Index of the documents part that served it. */
  readonly part: number;
}

/** The served query with most content words of the question; undefined where none has any. */
export function realQueryWords(attempt: {
  readonly question: { readonly text: string };
  readonly searches: readonly { readonly query: string; readonly part?: number }[];
}): QueryWords | undefined {
  const wanted = contentWords(attempt.question.text);
  let best: QueryWords | undefined;
  for (const { query, part } of attempt.searches) {
    if (part === undefined) continue;
    const words = new Set(wordsOf(normalise(query)));
    const shared = wanted.filter((word) => words.has(word)).length;
    if (shared > (best?.shared ?? 0)) best = { shared, of: wanted.length, part };
  }
  return best;
}
