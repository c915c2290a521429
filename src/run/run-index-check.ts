import { dirname, resolve } from "node:path";
import { DataError, SearchError } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import { toJson } from "../base/jsonl.ts";
import { readSearchQuestions } from "../data/benchmarks/search-questions.ts";
import type { Hit, Searcher } from "../search/searcher.ts";
import { openSearch } from "./assemble-search.ts";
import { DEEPEST, holdAll, isSearchable, type SearchHealth, searchHealth } from "./search-health.ts";
import { makeWritable } from "./writable-folder.ts";

const BATCH = 64;

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
    const results = await search(searcher, texts, signal);
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

async function search(searcher: Searcher, texts: readonly string[], signal?: AbortSignal): Promise<(readonly Hit[])[]> {
  const results: (readonly Hit[])[] = [];
  for (let from = 0; from < texts.length; from += BATCH) {
    const batch = texts.slice(from, from + BATCH);
    for (const result of await searcher.search(batch, { k: DEEPEST, ...(signal ? { signal } : {}) })) {
      if (!result.ok) throw new SearchError(result.error.message);
      results.push(result.hits);
    }
  }
  return results;
}
