/** @file Gauges that move before the reward does: a dead retriever, a policy that asks the same thing, a collapse. */
import { SearchError } from "../base/errors.ts";
import { contentWords, isCopied } from "../reward/query-words.ts";
import { normalise } from "../reward/text.ts";
import type { Stop, Trajectory } from "../rollout/trajectory.ts";
import { forEachPolicyRun } from "./batch.ts";

export type Metrics = Readonly<Record<string, number>>;

const stops = {
  answered: 0,
  ended: 0,
  "token-budget": 0,
  "search-budget": 0,
  "context-full": 0,
  "empty-query": 0,
  "environment-done": 0,
  "environment-failed": 0,
} satisfies Record<Stop, number>;

export function isFailed({ stop }: Trajectory): boolean {
  return stop === "environment-failed";
}

/** How attempts ended, as shares: every stop is named, so that every step has the same fields. */
export function stopShares(trajectories: readonly Trajectory[]): Metrics {
  const counts: Record<Stop, number> = { ...stops };
  for (const { stop } of trajectories) counts[stop]++;
  return Object.fromEntries(
    Object.entries(counts).map(([stop, count]) => [`stop/${stop}`, share(count, trajectories.length)]),
  );
}

/** Sampling entropy, estimated as −mean log-probability of what the policy wrote (finite ones). */
export function entropyEstimate(trajectories: readonly Trajectory[]): { entropy: number; tokens: number } {
  let sum = 0;
  let finite = 0;
  let tokens = 0;
  for (const { tape, logprobs } of trajectories) {
    forEachPolicyRun(tape, (from, to) => {
      tokens += to - from;
      for (let t = from; t < to; t++) {
        if (!Number.isFinite(logprobs[t]!)) continue;
        sum -= logprobs[t]!;
        finite++;
      }
    });
  }
  return { entropy: share(sum, finite), tokens };
}

/**
 * What the searches of attempts look like. Shares are 0 where nothing was searched.
 *
 * @param promptOf the text that an attempt began with
 */
export function searchGauges(
  trajectories: readonly Trajectory[],
  promptOf: (trajectory: Trajectory) => string,
): Metrics {
  const served = trajectories.map(({ searches }) => searches.filter(({ error }) => error === undefined));
  const all = served.flat();
  const queries = trajectories.flatMap((trajectory) => {
    const prompt = trajectory.searches.length > 0 ? promptOf(trajectory) : "";
    return trajectory.searches.map(({ query }) => ({ query, question: trajectory.question.text, prompt }));
  });
  const distinct = new Set(queries.map(({ query }) => contentWords(query).join(" ")));
  const copied = queries.filter(({ query, question, prompt }) => isCopied(query, prompt, question));
  const onTopic = queries.filter(({ query, question }) => sharesContentWord(query, question));
  return {
    "search/rate": share(served.filter(({ length }) => length > 0).length, trajectories.length),
    "search/per_trajectory": share(all.length, trajectories.length),
    "search/empty": share(all.filter(({ passageIds }) => passageIds.length === 0).length, all.length),
    "search/distinct_passages": share(
      new Set(all.flatMap(({ passageIds }) => passageIds)).size,
      all.flatMap(({ passageIds }) => passageIds).length,
    ),
    "search/duplicate": share(
      served.reduce((sum, searches) => sum + repeats(searches.flatMap(({ passageIds }) => passageIds)), 0),
      all.flatMap(({ passageIds }) => passageIds).length,
    ),
    "search/gold_in_documents": share(
      trajectories.filter(goldInDocuments).length,
      served.filter(({ length }) => length > 0).length,
    ),
    "query/distinct": share(distinct.size, queries.length),
    "query/on_topic": share(onTopic.length, queries.length),
    "query/copied": share(copied.length, queries.length),
  };
}

/** How many passages an attempt had been given before. */
const repeats = (ids: readonly string[]) => ids.length - new Set(ids).size;

/** Whether what search showed holds an answer, as words. */
function goldInDocuments({ transcript, question }: Trajectory): boolean {
  const shown = transcript.filter(({ kind }) => kind === "documents").map(({ text }) => ` ${normalise(text)} `);
  return question.gold
    .map(normalise)
    .some((gold) => gold !== "" && shown.some((documents) => documents.includes(` ${gold} `)));
}

/** So often the same step is asked again for the sake of few attempts. */
const patience = 3;

/**
 * Whether search, or another environment, was away. Where most of those that acted failed, what is left are attempts that
 * did not act, and nothing may be learnt from them alone, however few acted. Where it is so again and again, though fewer than half of
 * all failed, the fault is with these queries: they are counted and passed over.
 *
 * @param times 1 at first, and one more each time the same attempts are made again
 */
export function isOutage(attempts: readonly Trajectory[], times: number): boolean {
  const failed = attempts.filter(isFailed).length;
  const acted = attempts.filter(({ searches, actions }) => searches.length > 0 || actions !== undefined).length;
  return 2 * failed > attempts.length || (times <= patience && 2 * failed > acted);
}

/** Notices a search that died without an error: it answers, and finds nothing, step after step. */
export class EmptySearchWatch {
  readonly #most: number;
  #inARow = 0;

  /** @param most steps in a row; 0 never complains */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * The complaint after this step, if there is one. A step without searches tells nothing.
   *
   * @param finds whether search finds anything for what is asked: then the queries are to blame, which is the policy's
   *   affair
   */
  async note(metrics: Metrics, finds: () => Promise<boolean>): Promise<SearchError | undefined> {
    if (!((metrics["search/per_trajectory"] ?? 0) > 0)) return undefined;
    this.#inARow = metrics["search/empty"] === 1 ? this.#inARow + 1 : 0;
    if (this.#most === 0 || this.#inARow < this.#most) return undefined;
    if (await finds()) {
      this.#inARow = 0;
      return undefined;
    }
    return new SearchError(`every search of the last ${this.#inARow} steps found nothing: search has died`, {
      hint: "check the index or the server, then continue with --resume; search.stopAfterEmptySteps sets how many steps it takes",
    });
  }
}

export function sharesContentWord(query: string, question: string): boolean {
  const asked = new Set(contentWords(question));
  return contentWords(query).some((word) => asked.has(word));
}

/** What a person should look at, in words; empty while all is well. */
export function alarms(metrics: Metrics): string[] {
  const over = (name: string, limit: number) => (metrics[name] ?? 0) > limit;
  return [
    ...(over("rollout/failed", 0.1) ? ["more than a tenth of the attempts failed for reasons outside the policy"] : []),
    ...(over("reward/failed", 0.1)
      ? ["the reward failed for more than a tenth of the attempts: does its judge answer?"]
      : []),
    ...(over("search/empty", 0.5) ? ["more than half of the searches found nothing: is the index the right one?"] : []),
    ...(over("query/copied", 0.5)
      ? ["more than half of the queries repeat words of the prompt: the policy learns to search for nothing"]
      : []),
    ...(over("search/rate", 0.5) && !over("query/on_topic", 0.2)
      ? ["hardly any query holds a word of its question: the policy learns to search for nothing"]
      : []),
    ...(over("policy/mismatch_kl", 0.01)
      ? ["sampler and learner disagree on the probability of what was sampled"]
      : []),
    ...(over("optim/refused", 0) ? ["an update was refused: its loss or its gradient was not finite"] : []),
  ];
}

export function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
