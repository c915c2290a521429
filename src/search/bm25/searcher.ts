import { SearchError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import { defaultAnalyzer } from "../analyzer.ts";
import type { Hit, QueryResult, Searcher, SearcherInfo } from "../searcher.ts";
import { bm25Info, CorpusHash, passageRecord } from "./identity.ts";
import { rankPassages } from "./rank.ts";
import { type Bm25, bm25Parameters, checkK } from "./score.ts";

/** A searcher over passages held in memory. */
export function memorySearcher(passages: readonly Passage[], parameters: Partial<Bm25> = {}): Searcher {
  const bm25 = bm25Parameters(parameters);
  const kept = [...passages];
  const hash = new CorpusHash();
  for (const passage of kept) hash.add(passageRecord(passage));
  const info = bm25Info({ ...bm25, analyzer: defaultAnalyzer.name }, { passages: kept.length, hash: hash.digest() });
  return synchronousSearcher({ info, rank: rankPassages(kept, bm25), close: () => {} });
}

/** A searcher over a synchronous function that answers one query; an exception becomes that query's error. */
export function synchronousSearcher(parts: {
  info: SearcherInfo;
  rank: (query: string, k: number) => Hit[];
  close: () => void;
}): Searcher {
  let closed = false;
  return {
    info: () => parts.info,
    async search(queries, { k, signal }) {
      if (closed) throw new SearchError("the searcher is closed");
      checkK(k);
      const results: QueryResult[] = [];
      for (const query of queries) {
        signal?.throwIfAborted();
        results.push(answer(() => parts.rank(query, k)));
      }
      return results;
    },
    async close() {
      if (closed) return;
      closed = true;
      parts.close();
    },
  };
}

function answer(rank: () => Hit[]): QueryResult {
  try {
    return { ok: true, hits: rank() };
  } catch (error) {
    // a damaged index or a failing disk; bugs are thrown on
    if (error instanceof SearchError || (error as NodeJS.ErrnoException).code !== undefined) {
      return { ok: false, error: { message: (error as Error).message, retryable: false } };
    }
    throw error;
  }
}
