import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { ConfigError, DataError, messageOf } from "../../base/errors.ts";
import { readJsonl } from "../../base/jsonl.ts";
import { randomOf } from "../../base/random.ts";
import type { Question } from "../../protocol/question.ts";
import { bamboogle } from "./bamboogle.ts";
import { hotpotqa } from "./hotpotqa.ts";
import { musique } from "./musique.ts";
import { plain } from "./plain.ts";
import { r1Searcher } from "./r1-searcher.ts";
import { type BenchmarkRow, type BenchmarkShape, questionOf } from "./row.ts";

/** The first format that recognises a row reads it. */
const shapes: readonly BenchmarkShape[] = [hotpotqa, musique, bamboogle, r1Searcher, plain];

/**
 * Reads questions of a benchmark or of the user from a JSON array or JSON lines (also .gz), in file order. Ids are the
 * benchmark's own, otherwise "<source>-<row>"; the source is the row's own, otherwise the file name.
 * @throws DataError naming file and line (or item): a row without question or gold, a duplicate id, no rows
 */
export async function readQuestions(file: string): Promise<Question[]> {
  const source = basename(file).replace(/\.(json|jsonl)(\.gz)?$/i, "");
  const questions: Question[] = [];
  const places = new Map<string, string>();
  for await (const { where, value } of rowsOf(file)) {
    const question = readRow(value, { where, row: questions.length + 1, source });
    const earlier = places.get(question.id);
    if (earlier !== undefined) {
      throw new DataError(`${where}: id "${question.id}" occurs twice, first at ${earlier}`, {
        hint: "give every question an id of its own, or none",
      });
    }
    places.set(question.id, where);
    questions.push(question);
  }
  if (questions.length === 0)
    throw new DataError(`${file} holds no question`, { hint: `expected rows such as ${plain.expects}` });
  return questions;
}

/**
 * A sample of the questions in their order; the same for the same seed.
 * @param n how many, or a fraction between 0 and 1 of them (rounded, at least one)
 * @throws ConfigError if there are not enough
 */
export function sampleQuestions(questions: readonly Question[], n: number, seed: number): Question[] {
  const count = n > 0 && n < 1 ? Math.max(1, Math.round(n * questions.length)) : n;
  if (!Number.isInteger(count) || count < 1 || count > questions.length) {
    throw new ConfigError(`a sample of ${n} of ${questions.length} questions`, {
      hint: `ask for a whole number from 1 to ${questions.length}, or for a fraction between 0 and 1`,
    });
  }
  const places = randomOf(seed, "sample-questions").shuffle(questions.map((_, i) => i));
  const chosen = new Set(places.slice(0, count));
  return questions.filter((_, i) => chosen.has(i));
}

function readRow(value: unknown, { where, row, source }: { where: string; row: number; source: string }): Question {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DataError(`${where}: not an object`, { hint: `expected rows such as ${plain.expects}` });
  }
  const shape = shapes.find((candidate) => candidate.recognises(value as BenchmarkRow))!;
  const question = questionOf(shape.read(value as BenchmarkRow), { row, source });
  if (typeof question === "string") {
    throw new DataError(`${where}: ${question}`, {
      hint: `a row of ${shape.name} is ${shape.expects}: correct or remove this one`,
    });
  }
  return question;
}

/** The rows of a file of questions, with their positions. @throws DataError if it cannot be read */
export async function* rowsOf(file: string): AsyncGenerator<{ where: string; value: unknown }> {
  if (!file.toLowerCase().endsWith(".json")) {
    for await (const { line, value } of readJsonl(file)) yield { where: `${file}:${line}`, value };
    return;
  }
  const text = readText(file);
  if (!text.trimStart().startsWith("[")) {
    // MuSiQue and others put JSON lines into files that end in .json
    for await (const { line, value } of readJsonl(file)) yield { where: `${file}:${line}`, value };
    return;
  }
  const items = parseArray(file, text);
  for (const [i, value] of items.entries()) yield { where: `${file}: item ${i + 1}`, value };
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8").replace(/^\uFEFF/, "");
  } catch (cause) {
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, {
      hint: "give a .json or .jsonl file of questions",
      cause,
    });
  }
}

function parseArray(file: string, text: string): unknown[] {
  try {
    return JSON.parse(text) as unknown[];
  } catch (cause) {
    throw new DataError(`${file} is not JSON: ${messageOf(cause)}`, {
      hint: "expected an array of questions, or one JSON object per line",
      cause,
    });
  }
}
