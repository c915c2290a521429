/** @file Rewards that take their time and rewards that fail, as those of a judge do. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { InterruptedError, RewardError } from "../base/errors.ts";
import { pause } from "../base/retry.ts";
import type { Reward } from "../reward/reward.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import { scoreGroups } from "./score-groups.ts";
import { memoryKeeper } from "./testing/memory-keeper.ts";
import { TinyLearner, tinyParts, trajectory } from "./testing/tiny-run.ts";
import { train } from "./training-loop.ts";

const rewardOf = (total: number): Reward => ({ total, parts: [{ rule: "judge", value: total, because: "judged" }] });
const groups = [0, 1, 2].map((b) =>
  [0, 1, 2, 3].map((sibling) => trajectory({ sibling, question: { id: `q${b}`, text: "?", gold: ["x"] } })),
);
const numberOf = ({ question, sibling }: Trajectory) => 10 * Number(question.id.slice(1)) + sibling;
const never = new AbortController().signal;

test("a slow judge is asked by so many at once, and each reward comes to its attempt whatever is ready first", async () => {
  let [underWay, most] = [0, 0];
  const judge = async (one: Trajectory) => {
    most = Math.max(most, ++underWay);
    await sleep(24 - numberOf(one)); // the first to be asked are the last to answer
    underWay--;
    return rewardOf(numberOf(one));
  };
  const { rewards, failures } = await scoreGroups(groups, judge, { concurrency: 5, signal: never });
  expect(rewards.map((row) => row.map((reward) => reward?.total))).toEqual([
    [0, 1, 2, 3],
    [10, 11, 12, 13],
    [20, 21, 22, 23],
  ]);
  expect(failures.size).toBe(0);
  expect(most).toBe(5);
});

test("an attempt that the environment failed is not scored, and one whose judge fails has no reward and a reason", async () => {
  const failed = { ...groups[0]![0]!, stop: "environment-failed" as const };
  const asked: number[] = [];
  const judge = async (one: Trajectory) => {
    asked.push(numberOf(one));
    if (one.sibling === 1) throw new RewardError("the judge answered with status 503");
    return one.sibling === 2 ? undefined : rewardOf(1);
  };
  const { rewards, failures } = await scoreGroups([[failed, ...groups[0]!.slice(1)]], judge, {
    concurrency: undefined,
    signal: never,
  });
  expect(asked).toEqual([1, 2, 3]);
  expect(rewards).toEqual([[undefined, undefined, undefined, rewardOf(1)]]);
  expect([...failures]).toEqual([
    [groups[0]![1], "the judge answered with status 503"],
    [groups[0]![2], "the reward function returned undefined"],
  ]);
});

test("an error that is no RewardError surfaces, and nothing more is scored", async () => {
  let asked = 0;
  const signals: AbortSignal[] = [];
  const judge = async (_: Trajectory, signal: AbortSignal) => {
    signals.push(signal);
    if (++asked === 2) throw new TypeError("score is not a function");
    await pause(60_000, signal);
    return rewardOf(1);
  };
  await expect(scoreGroups(groups, judge, { concurrency: 3, signal: never })).rejects.toThrow(
    new TypeError("score is not a function"),
  );
  expect(asked).toBe(3);
  expect(signals.every(({ aborted }) => aborted)).toBe(true);
  const thrown = () => {
    throw new TypeError("at once");
  };
  await expect(scoreGroups(groups, thrown, { concurrency: 3, signal: never })).rejects.toThrow("at once");
});

test("the signal ends the scoring at once, even where a judge does not listen to it", async () => {
  const controller = new AbortController();
  let asked = 0;
  const deaf = () => {
    if (++asked === 4) setTimeout(() => controller.abort(new Error("stop")), 5);
    return new Promise<Reward>(() => {});
  };
  await expect(scoreGroups(groups, deaf, { concurrency: 4, signal: controller.signal })).rejects.toThrow("stop");
  expect(asked).toBe(4);
});

test("in a run, attempts whose judge fails are counted and are in neither the loss nor the mean", async () => {
  const learner = new TinyLearner();
  const { keeper, records } = memoryKeeper(learner);
  const parts = tinyParts(learner, { keeper });
  await train({
    ...parts,
    score: async (one, stage, signal) => {
      if (one.sibling === 0) throw new RewardError("the judge is away");
      await sleep(0);
      return parts.score(one, stage, signal);
    },
  });
  const { metrics, attempts } = records[0]!;
  expect(metrics).toMatchObject({ "reward/failed": 0.25, "rollout/failed": 0.25, "stop/environment-failed": 0 });
  const scored = attempts.filter(({ reward }) => reward !== undefined);
  expect(scored.length).toBe(9);
  expect(metrics["reward/total"]).toBeCloseTo(scored.reduce((sum, { reward }) => sum + reward!.total, 0) / 9, 12);
  expect(
    attempts.filter(({ advantage, rewardFailure }) => advantage === undefined && rewardFailure === "the judge is away"),
  ).toHaveLength(3);
  expect(learner.batches[0]!.length + learner.batches[1]!.length).toBeLessThanOrEqual(9);
});

test("in a run, a slow judge changes nothing of what is learnt", async () => {
  const trainBy = async (isSlow: boolean) => {
    const learner = new TinyLearner();
    const parts = tinyParts(learner);
    await train({
      ...parts,
      score: async (one, stage, signal) => {
        if (isSlow) await sleep((7 * one.sibling) % 4);
        return parts.score(one, stage, signal);
      },
    });
    return [...learner.logits, ...learner.momentum];
  };
  expect(await trainBy(true)).toEqual(await trainBy(false));
});

test("a run whose judge is away for every attempt is saved and stops; a defect of a reward ends it as it is", async () => {
  const learner = new TinyLearner();
  const { keeper, saves } = memoryKeeper(learner);
  const parts = tinyParts(learner, { keeper });
  let step = 0;
  const rollOut: typeof parts.rollOut = (questions, request) => {
    step = request.step;
    return parts.rollOut(questions, request);
  };
  const away: typeof parts.score = (one, stage, signal) => {
    if (step === 3) throw new RewardError("status 503");
    return parts.score(one, stage, signal);
  };
  await expect(train({ ...parts, rollOut, score: away })).rejects.toMatchObject({
    name: "RewardError",
    message: "the reward failed for all 12 attempts that it was asked for: status 503",
    hint: expect.stringContaining("--resume"),
  });
  expect(saves.at(-1)!.cursor.step).toBe(3);
  const defect = () => {
    throw new TypeError("gold is undefined");
  };
  await expect(train({ ...tinyParts(new TinyLearner()), score: defect })).rejects.toThrow(TypeError);
});

test("a run that is stopped while a judge is asked is saved before that step", async () => {
  const learner = new TinyLearner();
  const { keeper, saves } = memoryKeeper(learner);
  const controller = new AbortController();
  const parts = tinyParts(learner, { keeper, signal: controller.signal });
  const judge: typeof parts.score = (one, stage, signal) => {
    if (learner.updates < 6) return parts.score(one, stage, signal);
    controller.abort();
    return new Promise<Reward>(() => {});
  };
  await expect(train({ ...parts, score: judge })).rejects.toThrow(InterruptedError);
  expect(saves.at(-1)!.cursor.step).toBe(3);
  expect(learner.updates).toBe(6);
});
