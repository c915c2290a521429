/** @file Search as an environment: a closed query is searched for, and its passages are shown as documents. */
import { messageOf, SearchError } from "../base/errors.ts";
import { documentBlock } from "../protocol/documents.ts";
import type { Protocol } from "../protocol/protocol.ts";
import type { Hit, Searcher } from "../search/searcher.ts";
import type { RolloutConfig } from "./config.ts";
import type { EnvironmentFactory, StepResult } from "./environment.ts";

export interface SearchEnvironmentOptions {
  /** Shared by all attempts, and closed by whoever opened it. */
  readonly searcher: Searcher;
  readonly protocol: Protocol;
  readonly config: Pick<RolloutConfig, "maxSearches" | "k" | "titles" | "maxPassageWords">;
}

/** Every action of the protocol is taken for a query. */
export function searchEnvironment(options: SearchEnvironmentOptions): EnvironmentFactory {
  const { protocol, config } = options;
  const open = () => {
    let searches = 0;
    const search = async (text: string, signal: AbortSignal): Promise<StepResult> => {
      const query = cleanQuery(text);
      if (query === "") return { kind: "done", refused: "empty-query" };
      if (searches >= config.maxSearches) return { kind: "done", refused: "search-budget" };
      searches++;
      const found = await ask(query, options, signal);
      if (typeof found === "string") return { kind: "failed", error: found, search: { query, passageIds: [] } };
      const shown = { titles: config.titles, maxWords: config.maxPassageWords };
      return {
        kind: "observation",
        author: "search",
        segments: documentBlock(protocol, found, shown),
        search: { query, passageIds: found.map(({ id }) => id) },
      };
    };
    return {
      reset: async () => undefined,
      step: ({ text }: { readonly text: string }, { signal }: { readonly signal: AbortSignal }) => search(text, signal),
    };
  };
  return { protocol, open };
}

/** Drops quotes and control characters, which a query has no use for. */
export function cleanQuery(query: string): string {
  return query
    .toWellFormed()
    .replace(/"/g, "")
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
}

/** The hits, or what went wrong. A mistake in a searcher's code is neither and escapes. */
async function ask(
  query: string,
  { searcher, config }: SearchEnvironmentOptions,
  signal: AbortSignal,
): Promise<readonly Hit[] | string> {
  try {
    const [result] = await searcher.search([query], { k: config.k, signal });
    if (!result) return "search gave no result for the query";
    return result.ok ? result.hits : result.error.message;
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof SearchError) return messageOf(cause);
    throw cause;
  }
}
