import { describe, expect, test } from "vitest";
import type { QueryResult } from "../../search/searcher.ts";
import { waitForSearch } from "./wait-out.ts";

const away: QueryResult = { ok: false, error: { message: "connection refused", retryable: true } };
const forbidden: QueryResult = { ok: false, error: { message: "status 401", retryable: false } };
const found: QueryResult = { ok: true, hits: [] };
const outage = { step: 4, failed: 9, attempts: 12, times: 1, because: "connection refused" };
const signal = new AbortController().signal;

function waiting(answers: readonly QueryResult[], refused?: string) {
  const said: string[] = [];
  let probes = 0;
  const probe = async () => answers[Math.min(probes++, answers.length - 1)]!;
  const waitOut = waitForSearch({ probe, refused: () => refused }, (text) => said.push(text))!;
  return { waitOut, said, probes: () => probes };
}

describe("a run whose search is away", () => {
  test("waits until a probe is answered, and says so", async () => {
    const { waitOut, said, probes } = waiting([away, found]);
    await waitOut(outage, signal);
    expect(probes()).toBe(2);
    expect(said[0]).toBe(
      "step 5: 9 of 12 attempts failed outside the policy (connection refused); waiting for search …",
    );
    expect(said[1]).toMatch(/^search is back after \d+ s; step 5 begins again$/);
  });

  test("stops at once where waiting cannot help", async () => {
    await expect(waiting([forbidden]).waitOut(outage, signal)).rejects.toThrow("search refuses: status 401");
    const spent = waiting([found], "the search budget is spent: 3 queries");
    await expect(spent.waitOut(outage, signal)).rejects.toThrow("the search budget is spent: 3 queries, at step 5");
    expect(spent.probes()).toBe(0);
  });

  test("does not repeat a step for ever that fails while search answers", async () => {
    const { waitOut } = waiting([found]);
    for (let i = 1; i < 5; i++) await waitOut({ ...outage, times: i }, signal);
    await expect(waitOut({ ...outage, times: 5 }, signal)).rejects.toThrow("although search answers");
  });

  test("stops waiting when the run is stopped", async () => {
    const controller = new AbortController();
    const waited = waiting([away]).waitOut(outage, controller.signal);
    setTimeout(() => controller.abort(new Error("stop")), 20);
    await expect(waited).rejects.toThrow("stop");
  });
});

test("search in this process cannot be away", () => {
  expect(waitForSearch({ refused: () => undefined }, () => {})).toBeUndefined();
});
