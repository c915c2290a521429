import { dirname, resolve } from "node:path";
import { DataError } from "../../base/errors.ts";
import { writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { readSearchQuestions } from "../../data/benchmarks/search-questions.ts";
import { makeWritable } from "../store/writable-folder.ts";
import { openSearch } from "./open-search.ts";
import { searchAll } from "./search-all.ts";
import { DEEPEST, holdAll, isSearchable, type SearchHealth, searchHealth } from "./search-health.ts";

export interface IndexCheckOptions {
  readonly rerank?: string | undefined;
  /** Keeps the rows that one search answers in a file, replacing it: all is found within the best `within` passages. */
  readonly keep?: { readonly file: string; readonly within: number } | undefined;
  readonly signal?: AbortSignal;
}

export interface IndexCheck extends SearchHealth {
  /** Rows kept; absent where none were to be. */
  readonly kept?: number;
}

/** Asks an index the questions of a file. @throws SearchError where a query fails */
export async function runIndexCheck(
  directory: string,
  file: string,
  { rerank, keep, signal }: IndexCheckOptions = {},
): Promise<IndexCheck> {
  const all = await readSearchQuestions(file);
  const questions = all.filter(isSearchable);
  if (questions.length === 0)
    throw new DataError(`${file} holds only questions of yes or no`, {
      hint: "give questions with passages or answers",
    });
  if (keep) makeWritable(dirname(resolve(keep.file)), "--keep");
  const { searcher } = await openSearch({ source: "index", path: directory, ...(rerank ? { rerank } : {}) });
  try {
    const texts = questions.map(({ text }) => text);
    const results = await searchAll(searcher, texts, { k: DEEPEST, signal });
    const { passages = 0 } = searcher.info(); // an index knows
    const health = searchHealth(questions, results, { passages, skipped: all.length - questions.length });
    if (keep === undefined) return health;
    const found = questions.filter((question, i) => holdAll(question, results[i]!.slice(0, keep.within)));
    writeAtomically(keep.file, found.map(({ row }) => `${toJson(row)}\n`).join(""));
    return { ...health, kept: found.length };
  } finally {
    await searcher.close();
  }
}
