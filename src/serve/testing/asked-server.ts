/** @file What the tests of the search server ask it, and what they let it serve. */
import type { Passage } from "../../protocol/passage.ts";
import { memorySearcher } from "../../search/bm25/searcher.ts";
import type { QueryResult, Searcher } from "../../search/searcher.ts";

export const passages: readonly Passage[] = [
  { id: "1", title: "Ada", text: "wrote the first program" },
  { id: "2", title: "Bob", text: "baked bread" },
];

export const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

/** Answers when told to. */
export function heldSearcher(): { searcher: Searcher; batches: number[]; release: () => void } {
  const batches: number[] = [];
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const search = async (queries: readonly string[]): Promise<QueryResult[]> => {
    batches.push(queries.length);
    await gate;
    return queries.map(() => ({ ok: true, hits: [] }));
  };
  return { searcher: { ...memorySearcher(passages), search }, batches, release: open };
}

export const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(5);
}
