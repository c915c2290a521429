/** @file Does a search find what it should? Recall over questions, and signs of an index that does not work. */
import type { SearchQuestion, Support } from "../../data/benchmarks/search-questions.ts";
import { normalise } from "../../reward/text.ts";
import type { Hit } from "../../search/searcher.ts";

const depths = [2, 5, 10] as const;
export const DEEPEST = 10;

export interface SearchHealth {
  /** Questions measured. */
  readonly n: number;
  /** Questions skipped: "yes" and "no" occur in every corpus. */
  readonly skipped: number;
  /** By depth: supporting passages found, of all, averaged over questions; or the share of questions with an answer found. */
  readonly recall: Readonly<Record<"2" | "5" | "10", number>>;
  /** Share of questions without any result. */
  readonly empty: number;
  /** Share of questions with the same first result, whichever is the most frequent. */
  readonly sameFirst: number;
  readonly healthy: boolean;
  /** The reasons if it is not healthy. */
  readonly reasons: readonly string[];
}

const verdicts = new Set(["yes", "no", "noanswer"]);

/** What can be found in a corpus; the rest says nothing about search. */
export function isSearchable({ support, answers }: SearchQuestion): boolean {
  return support.length > 0 || answers.some((answer) => !verdicts.has(normalise(answer)));
}

/** @param results of each question the best ten hits */
export function searchHealth(
  questions: readonly SearchQuestion[],
  results: readonly (readonly Hit[])[],
  index: { readonly passages: number; readonly skipped: number },
): SearchHealth {
  const n = questions.length;
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / n;
  const recallAt = (k: number) => mean(questions.map((question, i) => recallOf(question, results[i]!.slice(0, k))));
  const [at2, at5, at10] = depths.map(recallAt);
  const recall = { "2": at2!, "5": at5!, "10": at10! };
  const empty = mean(results.map((hits) => Number(hits.length === 0)));
  const sameFirst = mostFrequent(results.flatMap(([first]) => (first === undefined ? [] : [first.id]))) / n;
  const reasons = reasonsAgainst({ n, recall: recall["10"], empty, sameFirst, passages: index.passages });
  return { n, skipped: index.skipped, recall, empty, sameFirst, healthy: reasons.length === 0, reasons };
}

const MOST_EMPTY = 0.2;
const MOST_SAME = 0.5;
const LEAST_RECALL = 0.1;

interface Signs {
  readonly n: number;
  readonly recall: number;
  readonly empty: number;
  readonly sameFirst: number;
  readonly passages: number;
}

function reasonsAgainst({ n, recall, empty, sameFirst, passages }: Signs): string[] {
  const reasons: string[] = [];
  const share = (value: number) => `${Math.round(100 * value)} %`;
  if (empty > MOST_EMPTY) reasons.push(`${share(empty)} of the questions find nothing`);
  if (sameFirst > MOST_SAME && n >= 5 && passages >= 20)
    reasons.push(`the same passage comes first for ${share(sameFirst)} of the questions`);
  // ten random passages must fail this check, too
  const least = Math.max(LEAST_RECALL, Math.min(0.5, (2 * DEEPEST) / passages));
  if (recall < least) reasons.push(`recall@10 is ${share(recall)}, below ${share(least)}`);
  return reasons;
}

/** Whether these hits include every supporting passage, or an answer. */
export function holdAll(question: Pick<SearchQuestion, "support" | "answers">, hits: readonly Hit[]): boolean {
  return recallOf(question, hits) === 1;
}

function recallOf({ support, answers }: Pick<SearchQuestion, "support" | "answers">, hits: readonly Hit[]): number {
  if (support.length > 0)
    return support.filter((passage) => hits.some((hit) => isPassage(hit, passage))).length / support.length;
  const texts = hits.map(({ title, text }) => ` ${normalise(`${title} ${text}`)} `);
  const wanted = answers.map(normalise).filter((answer) => answer !== "" && !verdicts.has(answer));
  return Number(wanted.some((answer) => texts.some((text) => text.includes(` ${answer} `))));
}

/** The length of a text's beginning that distinguishes paragraphs with the same title, however the corpus was cut. */
const BEGINNING = 60;

function isPassage(hit: Hit, { name, text }: Support): boolean {
  if (hit.id !== name && hit.title.trim() !== name.trim()) return false;
  if (text === undefined) return true;
  const [found, wanted] = [normalise(hit.text), normalise(text)];
  return found.includes(wanted.slice(0, BEGINNING)) || wanted.includes(found.slice(0, BEGINNING));
}

function mostFrequent(values: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return Math.max(0, ...counts.values());
}
