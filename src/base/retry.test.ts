import { expect, test } from "vitest";
import { pause, RetryBudget, retry } from "./retry.ts";

const fast = { tries: 4, firstPauseMs: 1, longestPauseMs: 5, isRetryable: () => true };

function failing(times: number): { work: () => Promise<string>; calls: () => number } {
  let calls = 0;
  const work = async () => {
    if (++calls <= times) throw new Error(`failure ${calls}`);
    return "done";
  };
  return { work, calls: () => calls };
}

test("tries until it works, so often and no more", async () => {
  const few = failing(3);
  expect(await retry(few.work, fast)).toBe("done");
  expect(few.calls()).toBe(4);
  const many = failing(9);
  await expect(retry(many.work, fast)).rejects.toThrow("failure 4");
  expect(many.calls()).toBe(4);
});

test("what cannot pass is not tried again", async () => {
  const { work, calls } = failing(9);
  await expect(retry(work, { ...fast, isRetryable: () => false })).rejects.toThrow("failure 1");
  expect(calls()).toBe(1);
});

test("a budget bounds tries over all calls, and fills up with calls", async () => {
  const budget = new RetryBudget(0.1, 3);
  let tries = 0;
  const call = () =>
    retry(
      async () => {
        tries++;
        throw new Error("away");
      },
      { ...fast, budget },
    ).catch(() => {});
  for (let i = 0; i < 100; i++) await call();
  expect(tries).toBeGreaterThanOrEqual(100 + 3);
  expect(tries).toBeLessThanOrEqual(100 + 3 + 10);
});

test("waits as long as the other side asks, up to a bound", async () => {
  const began = performance.now();
  await retry(failing(1).work, { ...fast, longestPauseMs: 60, pauseAskedMs: () => 1e9 });
  expect(performance.now() - began).toBeGreaterThan(55);
  expect(performance.now() - began).toBeLessThan(2_000);
});

test("a raised signal ends trying and pausing at once", async () => {
  const controller = new AbortController();
  const { work, calls } = failing(9);
  const retried = retry(work, { ...fast, firstPauseMs: 60_000, longestPauseMs: 60_000, signal: controller.signal });
  setTimeout(() => controller.abort(new Error("stop")), 20);
  await expect(retried).rejects.toThrow("stop");
  expect(calls()).toBe(1);
  await expect(pause(60_000, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
});
