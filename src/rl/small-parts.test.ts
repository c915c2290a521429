import { expect, test } from "vitest";
import { alarms, entropyEstimate, searchGauges, sharesContentWord, stopShares } from "./health.ts";
import { drift } from "./loss.ts";
import { learningRateShare } from "./schedule.ts";
import { trajectory } from "./testing/tiny-run.ts";

test("the learning rate warms up to its full value and ends where the schedule says", () => {
  const shares = (schedule: "constant" | "linear" | "cosine") =>
    Array.from({ length: 12 }, (_, step) => learningRateShare(step, 12, { schedule, warmupSteps: 2, finalShare: 0.1 }));
  expect(shares("constant")).toEqual([0.5, ...Array(11).fill(1)]);
  for (const schedule of ["linear", "cosine"] as const) {
    const curve = shares(schedule);
    expect(curve[2]).toBe(1);
    expect(curve.at(-1)).toBeCloseTo(0.1, 12);
    for (let step = 3; step < 12; step++) expect(curve[step]).toBeLessThan(curve[step - 1]!);
  }
  expect(learningRateShare(0, 1, { schedule: "cosine", warmupSteps: 0, finalShare: 0 })).toBe(1);
});

test("gauges see a dead index, a repeated query and a query about something else", () => {
  const empty = { ...trajectory(), searches: [{ query: "Dekgun birthplace", passageIds: [], part: 0 }] };
  const failed = { ...trajectory(), searches: [{ query: "dekgun  birthplace", passageIds: [], error: "away" }] };
  const silent = trajectory();
  const off = trajectory({ queries: ["weather today", "Where the"] });
  expect(searchGauges([empty, failed, silent, off], () => "")).toMatchObject({
    "search/rate": 0.5,
    "search/per_trajectory": 0.75,
    "search/empty": 1 / 3,
    "query/distinct": 3 / 4,
    "query/on_topic": 0.5,
  });
  expect(searchGauges([], () => "")).toMatchObject({ "search/rate": 0, "query/distinct": 0 });
  expect(sharesContentWord("what is the", "what is the birthplace?")).toBe(false);
  expect(alarms({ "search/empty": 0.9 })).toEqual([expect.stringMatching("found nothing")]);
  expect(alarms({ "search/empty": 0.1, "rollout/failed": 0 })).toEqual([]);
});

test("stop shares name every stop, and entropy is the mean surprise of policy tokens that have one", () => {
  const shares = stopShares([trajectory(), trajectory({ stop: "environment-failed" })]);
  expect(Object.keys(shares).length).toBe(8);
  expect(shares["stop/answered"]).toBe(0.5);
  const odd = trajectory({ logprob: -3 });
  odd.logprobs[2] = Number.NEGATIVE_INFINITY;
  expect(entropyEstimate([odd, trajectory({ logprob: -1 })])).toEqual({ entropy: (3 * 3 + 4) / 7, tokens: 8 });
});

test("drift is nothing on the same weights and sees what the clip will cut", () => {
  const sequence = {
    tokens: new Int32Array(4),
    weights: Float32Array.of(0, 1, 1, 1),
    advantages: new Float32Array(4),
    oldLogprobs: Float32Array.of(0, -1, -1, -1),
  };
  const clip = { clipLow: 0.2, clipHigh: 0.2 };
  expect(drift([sequence], [Float32Array.of(9, -1, -1, -1)], clip)).toEqual({
    tokens: 3,
    kl: 0,
    maxRatio: 1,
    clippedShare: 0,
  });
  const moved = drift([sequence], [Float32Array.of(9, -0.5, -1, -400)], clip);
  expect(moved.clippedShare).toBeCloseTo(2 / 3, 12);
  expect(moved.maxRatio).toBeCloseTo(Math.exp(0.5), 5);
  expect(Number.isFinite(moved.kl)).toBe(true);
});
