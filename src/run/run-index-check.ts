import { DataError, SearchError } from "../base/errors.ts";
import { readSearchQuestions } from "../data/benchmarks/search-questions.ts";
import type { Hit, Searcher } from "../search/searcher.ts";
import { openSearch } from "./assemble-search.ts";
import { DEEPEST, isSearchable, type SearchHealth, searchHealth } from "./search-health.ts";

const BATCH = 64;

/** Asks an index the questions of a file. @throws SearchError where a query fails */
export async function runIndexCheck(
  directory: string,
  file: string,
  { rerank, signal }: { readonly rerank?: string | undefined; readonly signal?: AbortSignal } = {},
): Promise<SearchHealth> {
  const all = await readSearchQuestions(file);
  const questions = all.filter(isSearchable);
  if (questions.length === 0)
    throw new DataError(`${file} holds only questions of yes or no`, {
      hint: "give questions with passages or answers",
    });
  const { searcher } = await openSearch({ source: "index", path: directory, ...(rerank ? { rerank } : {}) });
  try {
    const texts = questions.map(({ text }) => text);
    const results = await search(searcher, texts, signal);
    const { passages = 0 } = searcher.info(); // an index knows
    return searchHealth(questions, results, { passages, skipped: all.length - questions.length });
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
