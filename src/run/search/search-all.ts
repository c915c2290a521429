/** @file Many texts asked of a search, some at a time. */
import { SearchError } from "../../base/errors.ts";
import type { Hit, Searcher } from "../../search/searcher.ts";

const BATCH = 64;

export interface SearchAllOptions {
  readonly k: number;
  /** What the texts are asked for, before the message of a failure. */
  readonly purpose?: string;
  readonly signal?: AbortSignal | undefined;
}

/** Same length and order as the texts. @throws SearchError at the first that fails */
export async function searchAll(
  searcher: Searcher,
  texts: readonly string[],
  { k, purpose, signal }: SearchAllOptions,
): Promise<(readonly Hit[])[]> {
  const all: (readonly Hit[])[] = [];
  for (let from = 0; from < texts.length; from += BATCH) {
    const batch = texts.slice(from, from + BATCH);
    for (const result of await searcher.search(batch, { k, ...(signal ? { signal } : {}) })) {
      if (!result.ok) throw new SearchError(`${purpose === undefined ? "" : `${purpose}: `}${result.error.message}`);
      all.push(result.hits);
    }
  }
  return all;
}
