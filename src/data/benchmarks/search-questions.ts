/** @file Questions for testing a search. The expected result is given by passages, or by an answer. */
import { DataError } from "../../base/errors.ts";
import { rowsOf } from "./read.ts";
import type { BenchmarkRow } from "./row.ts";

/** A passage that should be found. */
export interface Support {
  /** Its id or its title. */
  readonly name: string;
  /** If titles are not unique: the beginning of its text, or all of it. */
  readonly text?: string;
}

export interface SearchQuestion {
  readonly text: string;
  readonly support: readonly Support[];
  /** Used without support: one of these answers should occur in a result. */
  readonly answers: readonly string[];
  /** The row as in its file. */
  readonly row: BenchmarkRow;
}

const HINT =
  'expected {"question", "passages": [ids or titles]}, a row of HotpotQA, 2WikiMultiHopQA or MuSiQue with its supporting ' +
  'paragraphs, or {"question", "answer"}';

/** @throws DataError naming file and line of an invalid row */
export async function readSearchQuestions(file: string): Promise<SearchQuestion[]> {
  const questions: SearchQuestion[] = [];
  for await (const { where, value } of rowsOf(file)) {
    const read = typeof value === "object" && value !== null ? readRow(value as BenchmarkRow) : "not an object";
    if (typeof read === "string") throw new DataError(`${where}: ${read}`, { hint: HINT });
    questions.push(read);
  }
  if (questions.length === 0) throw new DataError(`${file} holds no question`, { hint: HINT });
  return questions;
}

function readRow(row: BenchmarkRow): SearchQuestion | string {
  const { question } = row;
  if (typeof question !== "string" || question.trim() === "") return "no question";
  const support = supportOf(row);
  if (support === undefined) return "the form of its supporting passages is unknown";
  const answers = [row["answer"] ?? row["golden_answers"] ?? [], row["answer_aliases"] ?? []].flat();
  const texts = answers.filter((answer): answer is string => typeof answer === "string" && answer.trim() !== "");
  if (support.length === 0 && texts.length === 0) return "neither passages nor an answer";
  return { text: question, support: unique(support), answers: texts, row };
}

/** @returns none if the row names none; undefined if they cannot be interpreted */
function supportOf({ passages, supporting_facts: facts, paragraphs }: BenchmarkRow): Support[] | undefined {
  if (Array.isArray(passages))
    return passages.every(isName) ? passages.map((name) => ({ name: String(name) })) : undefined;
  if (Array.isArray(facts)) {
    const titles = facts.map((fact: unknown) => (Array.isArray(fact) ? fact[0] : undefined));
    return titles.every(isName) ? titles.map((name) => ({ name: String(name) })) : undefined;
  }
  if (typeof facts === "object" && facts !== null) {
    const { title } = facts as { title?: unknown };
    return Array.isArray(title) && title.every(isName) ? title.map((name) => ({ name: String(name) })) : undefined;
  }
  if (!Array.isArray(paragraphs)) return [];
  const supporting = (paragraphs as BenchmarkRow[]).filter(({ is_supporting }) => is_supporting === true);
  return supporting.every(({ title, paragraph_text }) => isName(title) && typeof paragraph_text === "string")
    ? supporting.map(({ title, paragraph_text }) => ({ name: String(title), text: String(paragraph_text) }))
    : undefined;
}

const isName = (value: unknown) => typeof value === "string" || Number.isSafeInteger(value);

function unique(support: readonly Support[]): Support[] {
  return [...new Map(support.map((passage) => [JSON.stringify(passage), passage])).values()];
}
