import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { uniform } from "../../base/random.ts";
import { RetryBudget } from "../../base/retry.ts";
import type { Passage } from "../../protocol/passage.ts";
import { memorySearcher } from "../bm25/searcher.ts";
import { searcherConformance } from "../conformance.ts";
import type { QueryResult, Searcher } from "../searcher.ts";
import { budgeted } from "./budgeted.ts";
import { circuitBroken } from "./circuit-breaker.ts";
import { limited } from "./limited.ts";
import { metered } from "./metered.ts";
import { recorded, replayed } from "./recorded.ts";
import { retrying } from "./retrying.ts";

const folder = mkdtempSync(join(tmpdir(), "decorators-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newFile = () => join(folder, `${files++}.jsonl`);

const passages: readonly Passage[] = [{ id: "1", title: "Ada", text: "wrote the first program \ud800 \u0000" }];
const away: QueryResult = { ok: false, error: { message: "away", retryable: true } };
const refusal: QueryResult = { ok: false, error: { message: "no", retryable: false } };
const found: QueryResult = { ok: true, hits: [{ id: "1", title: "T", text: "t", score: 1, rank: 1 }] };

/** Answers from a script, and remembers what it was asked. */
function scripted(answer: (query: string, call: number) => QueryResult | Promise<QueryResult>) {
  const asked: string[][] = [];
  const searcher: Searcher = {
    ...memorySearcher(passages),
    search: async (queries) => {
      asked.push([...queries]);
      return Promise.all(queries.map((query) => answer(query, asked.length)));
    },
  };
  return { searcher, asked };
}

const wrapped: Record<string, (inner: Searcher) => Searcher> = {
  retrying: (inner) => retrying(inner, { tries: 3 }),
  "circuit breaker": (inner) => circuitBroken(inner),
  limited: (inner) => limited(inner, { perSecond: 1e6, concurrency: 3 }),
  budgeted: (inner) => budgeted(inner, { calls: 1e6 }),
  metered: (inner) => metered(inner),
  cached: (inner) => recorded(inner, newFile(), "answers"),
  recording: (inner) => recorded(inner, newFile(), "everything"),
};
for (const [name, wrap] of Object.entries(wrapped)) {
  const checks = searcherConformance(name, async (given) => wrap(memorySearcher(given)));
  for (const { name: what, run } of checks) test(what, run);
}

describe("retrying", () => {
  const options = { tries: 3, firstPauseMs: 1, longestPauseMs: 2 };

  test("asks again only what failed and may pass, and keeps the order", async () => {
    const { searcher, asked } = scripted((query, call) => {
      if (query === "never") return refusal;
      return query === "later" && call < 3 ? away : found;
    });
    const results = await retrying(searcher, options).search(["later", "now", "never"], { k: 1 });
    expect(results).toEqual([found, found, refusal]);
    expect(asked).toEqual([["later", "now", "never"], ["later"], ["later"]]);
  });

  test("gives up after so many tries, or when the budget is used up", async () => {
    const { searcher, asked } = scripted(() => away);
    expect(await retrying(searcher, options).search(["x"], { k: 1 })).toEqual([away]);
    expect(asked).toHaveLength(3);
    const poor = retrying(searcher, { ...options, budget: new RetryBudget(0, 1) });
    await poor.search(["x"], { k: 1 });
    await poor.search(["x"], { k: 1 });
    expect(asked).toHaveLength(3 + 2 + 1);
  });

  test("of 30 % transient failures few are left, and none is an answer", async () => {
    let draws = 0;
    const { searcher } = scripted(() => (uniform([1, draws++]) < 0.3 ? away : found));
    const again = retrying(searcher, { ...options, tries: 4 });
    const results = await Promise.all(Array.from({ length: 1000 }, () => again.search(["x"], { k: 1 })));
    const failed = results.flat().filter(({ ok }) => !ok).length;
    expect(failed).toBeLessThan(25); // 0.3⁴ = 8 in 1,000
  });
});

describe("circuit breaker", () => {
  test("opens after failures in a row, lets one through after a rest, closes when that works", async () => {
    let time = 0;
    let isAway = true;
    const { searcher, asked } = scripted(() => (isAway ? away : found));
    const broken = circuitBroken(searcher, { failures: 3, restMs: 100, now: () => time });
    const ask = async () => (await broken.search(["x"], { k: 1 }))[0]!;
    for (let i = 0; i < 10; i++) expect((await ask()).ok).toBe(false);
    expect(asked).toHaveLength(3);
    expect(await ask()).toEqual({
      ok: false,
      error: { message: "the search server is unavailable: away", retryable: true },
    });
    time = 100;
    await Promise.all([ask(), ask(), ask()]); // one probe
    expect(asked).toHaveLength(4);
    await ask();
    expect(asked).toHaveLength(4); // rests again
    time = 200;
    isAway = false;
    expect(await ask()).toEqual(found);
    expect(await ask()).toEqual(found);
    expect(asked).toHaveLength(6);
  });

  test("is not opened by queries that a healthy server refuses", async () => {
    const { searcher, asked } = scripted(() => refusal);
    const broken = circuitBroken(searcher, { failures: 2 });
    for (let i = 0; i < 5; i++) await broken.search(["x"], { k: 1 });
    expect(asked).toHaveLength(5);
  });

  test("with retries, an outage costs the server little more than what was under way", async () => {
    const { searcher, asked } = scripted(() => new Promise((resolve) => setTimeout(() => resolve(away), 5)));
    const stack = retrying(circuitBroken(searcher), {
      tries: 4,
      firstPauseMs: 1,
      longestPauseMs: 4,
      budget: new RetryBudget(0.5, 50),
    });
    await Promise.all(Array.from({ length: 200 }, () => stack.search(["x"], { k: 1 })));
    expect(asked.length).toBeLessThanOrEqual(220);
  });
});

describe("limited", () => {
  test("lets a burst of a second through, then so many a second", async () => {
    let time = 0;
    const waits: number[] = [];
    const { searcher } = scripted(() => found);
    const slow = limited(searcher, {
      perSecond: 2,
      now: () => time,
      wait: async (milliseconds) => void waits.push(milliseconds),
    });
    for (let i = 0; i < 4; i++) await slow.search(["x"], { k: 1 });
    expect(waits).toEqual([500, 1000]);
    time = 10_000;
    await slow.search(["x"], { k: 1 });
    expect(waits).toHaveLength(2);
  });

  test("so many searches at once", async () => {
    let [running, most] = [0, 0];
    const { searcher } = scripted(async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
      return found;
    });
    const narrow = limited(searcher, { concurrency: 3 });
    await Promise.all(Array.from({ length: 20 }, () => narrow.search(["x"], { k: 1 })));
    expect(most).toBe(3);
  });
});

describe("budgeted", () => {
  test.each([
    [{ calls: 3 }, "3 queries"],
    [{ money: 0.3, costPerCall: 0.1 }, "3 queries at 0.1 each"],
    [{ calls: 9, money: 0.35, costPerCall: 0.1 }, "3 queries at 0.1 each"],
  ])("%j: no query more, and what fits is answered", async (options, said) => {
    const { searcher, asked } = scripted(() => found);
    const bounded = budgeted(searcher, options);
    expect(bounded.refused()).toBeUndefined();
    const first = await bounded.search(["a", "b"], { k: 1 });
    const second = await bounded.search(["c", "d"], { k: 1 });
    const third = await bounded.search(["e"], { k: 1 });
    expect([...first, ...second, ...third].map(({ ok }) => ok)).toEqual([true, true, true, false, false]);
    expect(second[1]).toEqual({
      ok: false,
      error: { message: `the search budget is spent: ${said}`, retryable: false },
    });
    expect(asked.flat()).toEqual(["a", "b", "c"]);
    expect(bounded.refused()).toContain(said);
  });
});

test("metered counts and times what happened since it was last asked", async () => {
  let time = 0;
  const { searcher } = scripted((query) => {
    time += query === "slow" ? 100 : 1;
    return query === "bad" ? away : query === "none" ? { ok: true, hits: [] } : found;
  });
  const meter = metered(searcher, () => time);
  expect(meter.take()).toEqual({});
  for (const query of ["x", "slow", "bad", "none"]) await meter.search([query], { k: 1 });
  expect(meter.take()).toEqual({
    search_queries: 4,
    search_failed: 1,
    search_empty: 1,
    search_p50_ms: 1,
    search_p95_ms: 100,
    search_p99_ms: 100,
  });
  expect(meter.take()).toEqual({});
});

describe("a file of answers", () => {
  test("answers the second time without asking, in another process too", async () => {
    const file = newFile();
    const first = scripted(() => found);
    const cached = recorded(first.searcher, file, "answers");
    const answers = await cached.search(["a", "b", "a"], { k: 1 });
    expect(first.asked).toEqual([["a", "b"]]);
    await cached.close();
    const second = scripted(() => refusal);
    const again = recorded(second.searcher, file, "answers");
    expect(await again.search(["a", "b", "a"], { k: 1 })).toEqual(answers);
    expect(second.asked).toEqual([]);
    await again.search(["a"], { k: 2 }); // other k, other answer
    expect(second.asked).toEqual([["a"]]);
  });

  test("asks once for what several want at the same time, and an abort of one is not the others'", async () => {
    const { searcher, asked } = scripted(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return found;
    });
    const cached = recorded(searcher, newFile(), "answers");
    const controller = new AbortController();
    const given = [
      cached.search(["a"], { k: 1, signal: controller.signal }),
      cached.search(["a"], { k: 1 }),
      cached.search(["a"], { k: 1 }),
    ];
    controller.abort(new Error("enough"));
    await expect(given[0]).rejects.toThrow("enough");
    expect(await Promise.all(given.slice(1))).toEqual([[found], [found]]);
    expect(asked).toEqual([["a"]]);
  });

  test("a cache forgets failures, a recording keeps them", async () => {
    const [cache, recording] = [newFile(), newFile()];
    for (const [file, keep] of [
      [cache, "answers"],
      [recording, "everything"],
    ] as const) {
      const { searcher, asked } = scripted((_, call) => (call === 1 ? away : found));
      const kept = recorded(searcher, file, keep);
      const [first] = await kept.search(["a"], { k: 1 });
      const [second] = await kept.search(["a"], { k: 1 });
      expect([first, second]).toEqual(keep === "answers" ? [away, found] : [away, away]);
      expect(asked).toHaveLength(keep === "answers" ? 2 : 1);
      await kept.close();
    }
    expect(await replayed(recording).search(["a", "b"], { k: 1 })).toEqual([
      away,
      { ok: false, error: { message: expect.stringContaining('no answer to "b"'), retryable: false } },
    ]);
  });

  test("replay gives the bits that were recorded, odd characters included", async () => {
    const file = newFile();
    const inner = memorySearcher(passages);
    const kept = recorded(inner, file, "everything");
    const queries = ["program", "\ud800 lone", "", "ünïcode\u2028line"];
    const heard = await kept.search(queries, { k: 3 });
    await kept.close();
    const replay = replayed(file);
    expect(await replay.search(queries, { k: 3 })).toEqual(heard);
    expect(replay.info()).toEqual(memorySearcher(passages).info());
  });

  test("a torn last line is dropped, damage before it is said, another searcher's file refused", async () => {
    const file = newFile();
    const { searcher, asked } = scripted(() => found);
    const kept = recorded(searcher, file, "answers");
    await kept.search(["a", "b"], { k: 1 });
    await kept.close();
    const whole = readFileSync(file);
    appendFileSync(file, '{"query":"c","k":1,"hi');
    const again = recorded(searcher, file, "answers");
    await again.search(["a", "b", "c"], { k: 1 });
    await again.close();
    expect(asked).toEqual([["a", "b"], ["c"]]);
    expect(statSync(file).size).toBeGreaterThan(whole.length);
    await replayed(file).search(["c"], { k: 1 });

    writeFileSync(file, whole.toString().replace('"query":"a"', '"qu'));
    expect(() => recorded(searcher, file, "answers")).toThrow(/is damaged at byte \d+/);
    writeFileSync(file, whole);
    const other = memorySearcher([...passages, ...passages.map((passage) => ({ ...passage, id: "2" }))]);
    expect(() => recorded(other, file, "answers")).toThrow("another searcher");
    expect(() => replayed(join(folder, "absent"))).toThrow("there is no recording");
    writeFileSync(file, "not JSON\n");
    expect(() => replayed(file)).toThrow("no recording of searches");
  });
});
