/** @file Does a query ask about the question, or only repeat what the prompt said? */
import type { Part } from "../protocol/transcript.ts";
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

/** An attempt as far as its queries can be judged by it. */
interface Asked {
  readonly question: { readonly text: string };
  readonly transcript: readonly Part[];
  readonly searches: readonly { readonly query: string; readonly part?: number }[];
}

/**
 * Whether a query stands word for word in what the prompt says to every question: its examples, its placeholders.
 *
 * @param prompt the whole prompt; words of the question in it do not count
 */
export function isCopied(query: string, prompt: string, question: string): boolean {
  const spaced = (text: string) => ` ${wordsOf(normalise(text)).join(" ")} `;
  const rest = spaced(prompt).replaceAll(spaced(question), " | ");
  const asked = spaced(query);
  return asked.trim() !== "" && rest.includes(asked);
}

/**
 * Whether the attempt has a served query that asks about something: it shares a content word with the question or with
 * a passage that an earlier search brought, and is not copied from the prompt.
 */
export function hasRealQuery({ question, transcript, searches }: Asked, prompt: string): boolean {
  let known = new Set(contentWords(question.text));
  for (const { query, part } of searches) {
    if (part === undefined) continue;
    if (contentWords(query).some((word) => known.has(word)) && !isCopied(query, prompt, question.text)) return true;
    known = new Set([...known, ...contentWords(transcript[part]?.text ?? "")]);
  }
  return false;
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
