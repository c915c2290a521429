import { expect, test } from "vitest";
import type { QueryResult } from "./searcher.ts";
import { searcherOf } from "./searcher-life.ts";

const info = { kind: "test", passages: 0, hash: "test", settings: {} };

test("it ends once what is under way has ended, and takes nothing more", async () => {
  const events: string[] = [];
  let answer = (_: readonly QueryResult[]) => {};
  const searcher = searcherOf({
    info,
    search: () => new Promise((resolve) => (answer = resolve)),
    async close(idle) {
      events.push("asked to close");
      await idle;
      events.push("closed");
    },
  });
  const searching = searcher.search(["x"], { k: 1 }).then(() => events.push("answered"));
  const closing = [searcher.close(), searcher.close()];
  await expect(searcher.search(["x"], { k: 1 })).rejects.toThrow("closed");
  answer([{ ok: true, hits: [] }]);
  await Promise.all([searching, ...closing]);
  expect(events).toEqual(["asked to close", "answered", "closed"]);
});

test("only queries with words are asked, and each result finds its query", async () => {
  const asked: (readonly string[])[] = [];
  const searcher = searcherOf({
    info,
    async search(queries) {
      asked.push(queries);
      return queries.map((message) => ({ ok: false, error: { message, retryable: false } }));
    },
    close: async () => {},
  });
  const results = await searcher.search(["", " a ", "\n", "b"], { k: 1 });
  expect(results.map((result) => (result.ok ? "nothing" : result.error.message))).toEqual([
    "nothing",
    "a",
    "nothing",
    "b",
  ]);
  expect(await searcher.search(["", " "], { k: 1 })).toHaveLength(2);
  expect(asked).toEqual([["a", "b"]]);
});
