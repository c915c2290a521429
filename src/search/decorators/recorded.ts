/** @file Keeps answers in a file: as a cache, as a complete recording, or replayed without a server. */
import { SearchError } from "../../base/errors.ts";
import { checkK } from "../bm25/score.ts";
import type { QueryResult, Searcher } from "../searcher.ts";
import { RecordingFile } from "./recording-file.ts";

/**
 * Asks only for what the file does not contain, and adds it.
 *
 * @param keep "answers": a cache; failures are asked again. "everything": a recording, which must contain what the run
 * saw, so each query has a single outcome, failure or not
 * @throws DataError if the file belongs to another searcher or is not a recording
 */
export function recorded(inner: Searcher, path: string, keep: "answers" | "everything"): Searcher {
  const file = RecordingFile.forWriting(path, inner.info());
  const underWay = new Map<string, Promise<QueryResult>>();
  const life = new AbortController();
  // several callers may wait for one answer, so aborting one of them does not cancel it
  const askOnce = (queries: readonly string[], k: number) => {
    const answers = inner.search(queries, { k, signal: life.signal });
    queries.forEach((query, i) => {
      const key = keyOf(query, k);
      const answer = answers
        .then((results) => {
          const result = results[i]!;
          if (result.ok || keep === "everything") file.add(query, k, result);
          return result;
        })
        .finally(() => underWay.delete(key));
      answer.catch(() => {});
      underWay.set(key, answer);
    });
  };
  return {
    ...inner,
    async search(queries, { k, signal }) {
      if (life.signal.aborted) throw new SearchError("the searcher is closed");
      checkK(k);
      signal?.throwIfAborted();
      const known = new Map<string, QueryResult>();
      const unknown = new Set<string>();
      for (const query of queries) {
        const result = file.find(query, k);
        if (result !== undefined) known.set(query, result);
        else if (!underWay.has(keyOf(query, k))) unknown.add(query);
      }
      if (unknown.size > 0) askOnce([...unknown], k);
      const all = Promise.all(queries.map((query) => known.get(query) ?? underWay.get(keyOf(query, k))!));
      return signal ? untilAborted(all, signal) : all;
    },
    async close() {
      life.abort(new SearchError("the searcher is closed"));
      file.close();
      await inner.close();
    },
  };
}

/**
 * Answers from a recording alone; queries that it does not contain fail permanently. @throws DataError if there is none
 */
export function replayed(path: string): Searcher {
  const file = RecordingFile.forReading(path);
  let closed = false;
  return {
    info: () => file.info,
    async search(queries, { k, signal }) {
      if (closed) throw new SearchError("the searcher is closed");
      checkK(k);
      signal?.throwIfAborted();
      return queries.map((query): QueryResult => {
        const message = `${path} holds no answer to "${query}" (${k} passages)`;
        return file.find(query, k) ?? { ok: false, error: { message, retryable: false } };
      });
    },
    async close() {
      closed = true;
      file.close();
    },
  };
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

const keyOf = (query: string, k: number) => `${k}\n${query}`;
