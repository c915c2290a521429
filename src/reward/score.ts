import { DataError } from "../base/errors.ts";
import { coverEm, coverEm2, exactMatch, f1 } from "./metrics.ts";

/** A prediction beside its gold answers, as published result files have them. */
export interface ScoreRow {
  readonly question: string;
  readonly answer: string | readonly string[];
  readonly pred_ans: string;
}

/** In per cent, one decimal. */
export interface Scores {
  readonly n: number;
  readonly em: number;
  readonly coverEm: number;
  readonly coverEm2: number;
  readonly f1: number;
}

/** @throws DataError where there is no row */
export function scoreRows(rows: readonly ScoreRow[]): Scores {
  if (rows.length === 0)
    throw new DataError("there are no rows to score", { hint: "each line is {question, answer, pred_ans}" });
  const percent = (metric: typeof f1) => {
    const sum = rows.reduce(
      (total, { answer, pred_ans }) => total + metric(pred_ans, typeof answer === "string" ? [answer] : answer),
      0,
    );
    return Math.round((1000 * sum) / rows.length) / 10;
  };
  return {
    n: rows.length,
    em: percent(exactMatch),
    coverEm: percent(coverEm),
    coverEm2: percent(coverEm2),
    f1: percent(f1),
  };
}

/**
 * Reads one row of a result file. A prediction of null is an empty one.
 * @param where file and line, for messages
 * @throws DataError
 */
export function scoreRow(value: unknown, where: string): ScoreRow {
  const row = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const { question, answer, pred_ans } = row;
  const fail = (what: string) =>
    new DataError(`${where}: ${what}`, { hint: "each line is {question, answer, pred_ans}" });
  if (typeof question !== "string") throw fail("question is not a text");
  const isText = (item: unknown) => typeof item === "string" && item.trim() !== "";
  if (!isText(answer) && !(Array.isArray(answer) && answer.length > 0 && answer.every(isText)))
    throw fail("answer is neither a text nor a list of texts");
  if (typeof pred_ans !== "string" && pred_ans !== null) throw fail("pred_ans is not a text");
  return { question, answer: answer as string | string[], pred_ans: pred_ans ?? "" };
}
