/** @file The order in which a query passes what stands around a source of passages. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { memorySearcher } from "../../search/bm25/searcher.ts";
import type { Reranker } from "../../search/rerank/reranker.ts";
import type { QueryResult, Searcher } from "../../search/searcher.ts";
import { SearchConfig } from "../recipe/search-settings.ts";
import { type DecoratorContext, decorated, searchDecorators } from "./decorators.ts";

const folder = mkdtempSync(join(tmpdir(), "decorators-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const file = () => join(folder, `${files++}.jsonl`);

const passages = ["short", "of middle length", "by far the longest of these"].map((text, i) => {
  return { id: `${i}`, title: "bread", text };
});
/** Prefers long passages. */
const reranker: Reranker = {
  identity: { source: "letters", fingerprint: "0123456789abcdef0123" },
  score: async (_, texts) => texts.map((text) => text.length),
  close: async () => {},
};

/** A source that counts its queries and fails as often as it is told. */
function source(failures = 0): { searcher: Searcher; asked: () => number } {
  const inner = memorySearcher(passages);
  let asked = 0;
  const search: Searcher["search"] = async (queries, options) => {
    asked += queries.length;
    const away: QueryResult = { ok: false, error: { message: "status 503", retryable: true } };
    return failures-- > 0 ? queries.map(() => away) : inner.search(queries, options);
  };
  return { searcher: { ...inner, search }, asked: () => asked };
}

const context = (search: Partial<SearchConfig>, rest: Partial<DecoratorContext> = {}): DecoratorContext => {
  return { search: { ...SearchConfig.parse({}), ...search }, isRemote: true, ...rest };
};

test("the list, from the source outwards", () => {
  expect(searchDecorators.map(({ name }) => name)).toEqual([
    ...["circuit-broken", "limited", "budgeted", "retrying", "reranked", "recorded", "metered"],
  ]);
});

describe("each applies where the settings ask for it, in that order", () => {
  const namesOf = (search: Partial<SearchConfig>, rest: Partial<DecoratorContext> = {}) =>
    decorated(source().searcher, context(search, rest)).names;
  test("nothing asked, in this process", () => expect(namesOf({}, { isRemote: false })).toEqual(["metered"]));
  test("nothing asked, over the network", () => expect(namesOf({})).toEqual(["circuit-broken", "retrying", "metered"]));
  test("everything asked", () =>
    expect(namesOf({ perSecond: 9, budget: { calls: 9 }, record: file() }, { reranker })).toEqual(
      searchDecorators.map(({ name }) => name),
    ));
  test("a limit, a cache and a reranker in this process", () =>
    expect(namesOf({ concurrency: 1, cache: file() }, { reranker, isRemote: false })).toEqual([
      ...["limited", "reranked", "recorded", "metered"],
    ]));
});

describe("what the order means", () => {
  test("a query that is tried again is paid again", async () => {
    const { searcher, asked } = source(9);
    const opened = decorated(searcher, context({ attempts: 5, budget: { calls: 2 } }));
    const [result] = await opened.searcher.search(["bread"], { k: 1 });
    expect([result!.ok, asked()]).toEqual([false, 2]);
    expect(opened.refused()).toBe("the search budget is spent: 2 queries");
    await opened.searcher.close();
  });

  test("a recording keeps the reranked order, and a query that it knows costs nothing", async () => {
    const { searcher, asked } = source();
    const opened = decorated(searcher, context({ budget: { calls: 1 }, cache: file() }, { reranker }));
    const [first, again] = [
      await opened.searcher.search(["bread"], { k: 3 }),
      await opened.searcher.search(["bread"], { k: 3 }),
    ];
    expect(first[0]!.ok && first[0]!.hits.map(({ id }) => id)).toEqual(["2", "1", "0"]);
    expect(again).toEqual(first);
    expect(asked()).toBe(1);
    expect(opened.refused()).toBeUndefined();
    expect(opened.timing()).toMatchObject({ search_queries: 2, search_failed: 0 });
    await opened.searcher.close();
  });

  test("the source up to a decorator is without those around it", async () => {
    const { searcher, asked } = source(1);
    const opened = decorated(searcher, context({ budget: { calls: 1 } }));
    for (const ok of [false, true]) {
      const [result] = await opened.upTo("circuit-broken").search(["bread"], { k: 1 });
      expect(result!.ok).toBe(ok); // neither tried again nor paid
    }
    expect(asked()).toBe(2);
    expect((await opened.upTo("budgeted").search(["bread"], { k: 1 }))[0]!.ok).toBe(true);
    expect((await opened.searcher.search(["bread"], { k: 1 }))[0]!.ok).toBe(false);
    await opened.searcher.close();
  });
});
