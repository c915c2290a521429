/** @file A policy's answers to questions it is not trained on. One attempt each; what the environment failed is counted apart. */
import { DataError, SearchError } from "../base/errors.ts";
import type { Tokenizer } from "../base/tokenizer.ts";
import type { Question } from "../protocol/question.ts";
import { promptTokens } from "../protocol/tape.ts";
import { answerOf, formatVerdict } from "../reward/format.ts";
import { coverEm, exactMatch, f1 } from "../reward/metrics.ts";
import { hasRealQuery } from "../reward/query-words.ts";
import { collectGroups } from "../rollout/collect.ts";
import type { RolloutParts } from "../rollout/episode.ts";
import type { Stop, Trajectory } from "../rollout/trajectory.ts";

/** Shares from 0 to 1 over the attempts that the environment did not fail. */
export interface EvalSummary {
  readonly n: number;
  readonly em: number;
  readonly f1: number;
  readonly coverEm: number;
  /** Share of attempts with at least one served search. */
  readonly searchRate: number;
  /** Share of attempts that searched for something: not for nothing, and not for words that the prompt gave. */
  readonly realQueryRate: number;
  /** Served searches per attempt. */
  readonly searches: number;
  readonly formatRate: number;
  /** Exact match by type of question. */
  readonly byType: Readonly<Record<string, number>>;
  /** Attempts that the environment failed: in no other figure. */
  readonly failed: number;
  /** 95 % interval of `f1`: its mean ± 1.96 standard errors, within 0 and 1. */
  readonly f1Interval95: readonly [number, number];
  /** Wilson's 95 % interval of `em`. */
  readonly interval95: readonly [number, number];
}

/** One prediction, with the keys that published result files have; the scores are absent where the environment failed. */
export interface EvalRow {
  readonly id: string;
  readonly type?: string;
  readonly question: string;
  readonly answer: readonly string[];
  /** "" where no answer was closed. */
  readonly pred_ans: string;
  readonly stop: Stop;
  /** Those that were served. */
  readonly queries: readonly string[];
  /** At least one of them is about the question, or about what was found before, in words of the policy's own. */
  readonly realQuery: boolean;
  readonly formatOk: boolean;
  readonly scores?: { readonly em: number; readonly f1: number; readonly coverEm: number };
}

export interface EvaluateOptions extends RolloutParts {
  readonly questions: readonly Question[];
  readonly promptOf: (question: Question) => Int32Array;
  readonly decode: "greedy" | "sampled";
  readonly seed: number;
  /** Attempts that run at once. */
  readonly concurrency: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number; readonly em: number }) => void;
}

export interface EvalReport {
  readonly summary: EvalSummary;
  /** In the order of the questions. */
  readonly results: readonly EvalRow[];
  readonly trajectories: readonly Trajectory[];
}

/** @throws DataError without questions, SearchError where search failed in every attempt */
export async function evaluate({
  questions,
  decode,
  seed,
  onProgress,
  config,
  ...parts
}: EvaluateOptions): Promise<EvalReport> {
  if (questions.length === 0) throw new DataError("there are no questions to evaluate");
  let done = 0;
  const ems: number[] = [];
  const { groups } = await collectGroups(questions, {
    ...parts,
    config: decode === "greedy" ? { ...config, temperature: 0 } : config,
    siblings: 1,
    key: { seed, step: 0 },
    onAttempt: (trajectory) => {
      done++;
      const scores = scoresOf(trajectory);
      if (scores) ems.push(scores.em);
      onProgress?.({ done, total: questions.length, em: ems.length > 0 ? mean(ems) : 0 });
    },
  });
  const trajectories = groups.flat();
  const results = trajectories.map((trajectory) => rowOf(trajectory, parts.tokenizer));
  return { summary: summarise(results), results, trajectories };
}

function rowOf(trajectory: Trajectory, tokenizer: Tokenizer): EvalRow {
  const { question, transcript, searches, stop, tape } = trajectory;
  const { id, type, text, gold } = question;
  const scores = scoresOf(trajectory);
  return {
    id,
    ...(type === undefined ? {} : { type }),
    question: text,
    answer: gold,
    pred_ans: answerOf(transcript) ?? "",
    stop,
    queries: searches.filter(({ part }) => part !== undefined).map(({ query }) => query),
    realQuery: hasRealQuery(trajectory, tokenizer.decode(promptTokens(tape))),
    formatOk: formatVerdict(transcript).ok,
    ...(scores ? { scores } : {}),
  };
}

/** Undefined where the environment failed. */
function scoresOf({ question: { gold }, transcript, stop }: Trajectory): EvalRow["scores"] {
  if (stop === "environment-failed") return undefined;
  const said = answerOf(transcript) ?? "";
  return { em: exactMatch(said, gold), f1: f1(said, gold), coverEm: coverEm(said, gold) };
}

/** @throws SearchError where nothing is left to summarise */
export function summarise(results: readonly EvalRow[]): EvalSummary {
  const rows = results.flatMap(({ scores, ...row }) => (scores ? [{ ...row, scores }] : []));
  if (rows.length === 0)
    throw new SearchError("search failed in every attempt", { hint: "check the index or the search server" });
  const types = [...new Set(rows.flatMap(({ type }) => (type === undefined ? [] : [type])))].sort();
  const emOf = (type: string) => mean(rows.filter((row) => row.type === type).map(({ scores }) => scores.em));
  const em = mean(rows.map(({ scores }) => scores.em));
  const f1s = rows.map(({ scores }) => scores.f1);
  return {
    n: rows.length,
    em,
    f1: mean(f1s),
    coverEm: mean(rows.map(({ scores }) => scores.coverEm)),
    searchRate: mean(rows.map(({ queries }) => Number(queries.length > 0))),
    realQueryRate: mean(rows.map(({ realQuery }) => Number(realQuery))),
    searches: mean(rows.map(({ queries }) => queries.length)),
    formatRate: mean(rows.map(({ formatOk }) => Number(formatOk))),
    byType: Object.fromEntries(types.map((type) => [type, emOf(type)])),
    failed: results.length - rows.length,
    f1Interval95: meanInterval95(f1s),
    interval95: wilson95(em, rows.length),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function meanInterval95(values: readonly number[]): [number, number] {
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  const half = values.length > 1 ? z95 * Math.sqrt(squares / (values.length - 1) / values.length) : 1;
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

const z95 = 1.959964;

function wilson95(share: number, n: number): [number, number] {
  const centre = share + (z95 * z95) / (2 * n);
  const half = z95 * Math.sqrt((share * (1 - share)) / n + (z95 * z95) / (4 * n * n));
  const [low, high] = [(centre - half) / (1 + (z95 * z95) / n), (centre + half) / (1 + (z95 * z95) / n)];
  return [Math.max(0, low), Math.min(1, high)];
}
