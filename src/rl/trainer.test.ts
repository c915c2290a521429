import { expect, test } from "vitest";
import { LossConfig } from "./config.ts";
import { firstCursor } from "./parts.ts";
import { memoryKeeper } from "./testing/memory-keeper.ts";
import { config, TinyLearner, tinyParts } from "./testing/tiny-run.ts";
import { train } from "./training-loop.ts";

test("training raises the reward, learns twice a step, and every record has the same fields", async () => {
  const learner = new TinyLearner();
  const { keeper, records } = memoryKeeper(learner);
  const end = await train(
    tinyParts(learner, { keeper, config: config({ loss: LossConfig.parse({ normaliser: "token" }) }) }),
  );
  expect(end.step).toBe(10);
  expect(records.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(records[9]!.metrics["reward/total"]).toBeGreaterThan(records[0]!.metrics["reward/total"]! + 0.2);
  expect(records[0]!.metrics["reward/twos"]).toBe(records[0]!.metrics["reward/total"]);
  expect(learner.updates).toBe(20);
  expect(records.map(({ stage }) => stage)).toEqual([
    ...Array(4).fill("stage-1"),
    ...Array(6).fill("stage-2"),
    undefined,
  ]);
  expect(Object.values(records[2]!.metrics).every(Number.isFinite)).toBe(true);
  expect(records[0]!.metrics["policy/mismatch_kl"]).toBeCloseTo(0, 6);
  expect(records[0]!.metrics["policy/entropy"]).toBeCloseTo(Math.log(3), 1);
  expect(records[0]!.attempts.length).toBe(12);
});

test("the end of the warm-up and the stage's own rate reach the optimiser", async () => {
  const learner = new TinyLearner();
  const { keeper, records } = memoryKeeper(learner);
  await train(tinyParts(learner, { keeper }));
  expect(records.slice(0, 4).map(({ metrics }) => metrics["optim/lr"])).toEqual([0.02, 0.04, 0.04, 0.04]);
});

test("a failed attempt is counted, has no reward and is not learnt from", async () => {
  const learner = new TinyLearner();
  const { keeper, records } = memoryKeeper(learner);
  const parts = tinyParts(learner, { keeper });
  await train({
    ...parts,
    score: (trajectory, stage, signal) => {
      if (trajectory.stop === "environment-failed") throw new Error("a failed attempt was scored");
      return parts.score(trajectory, stage, signal);
    },
    rollOut: async (questions, request) => {
      const groups = await parts.rollOut(questions, request);
      return groups.map(([first, ...rest]) => [{ ...first!, stop: "environment-failed" as const }, ...rest]);
    },
  });
  expect(records[0]!.metrics["rollout/failed"]).toBe(0.25);
  expect(records[0]!.metrics["stop/environment-failed"]).toBe(0.25);
  expect(
    records[0]!.attempts.filter(({ reward, advantage }) => reward === undefined && advantage === undefined).length,
  ).toBe(3);
  expect(learner.batches[0]!.length + learner.batches[1]!.length).toBeLessThanOrEqual(9);
});

test("a stale sampler is an error, not a mystery", async () => {
  const parts = tinyParts(new TinyLearner());
  const rollOut: typeof parts.rollOut = async (questions, request) =>
    (await parts.rollOut(questions, request)).map((group) =>
      group.map((one) => ({ ...one, policyVersion: one.policyVersion - 1 })),
    );
  await expect(train({ ...parts, rollOut }, firstCursor)).rejects.toThrow(/allowed lag 0/);
});

test("a step in which nothing differs learns nothing and says so", async () => {
  const learner = new TinyLearner();
  const { keeper, records } = memoryKeeper(learner);
  await train(tinyParts(learner, { keeper, score: () => ({ total: 1, parts: [] }) }));
  expect(records[0]!.metrics).toMatchObject({ "groups/zero_variance": 1, "optim/empty": 2, "optim/applied": 0 });
  expect([...learner.logits]).toEqual([0, 0, 0]);
});
