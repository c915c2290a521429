import { expect, test } from "vitest";
import { RewardError } from "../base/errors.ts";
import { pause } from "../base/retry.ts";
import { type RewardFunction, rewardFromRules } from "./reward-function.ts";
import { rewardPresets, type Scorable, scoreTrajectory } from "./stages.ts";

const attempt: Scorable = {
  question: { id: "q", text: "Where was Ada born?", gold: ["London"] },
  transcript: [
    { kind: "thought", author: "policy", text: "Easy.", from: 0, to: 1, closed: true },
    { kind: "answer", author: "policy", text: "London", from: 1, to: 2, closed: true },
  ],
  searches: [],
  stop: "answered",
};
const judge: RewardFunction = async () => {
  await pause(5);
  return { total: 0.5, parts: [{ rule: "judge", value: 0.5, because: "it says so" }] };
};

test.each(Object.keys(rewardPresets) as (keyof typeof rewardPresets)[])(
  "%s: rules that are data give the same reward as scoreTrajectory",
  async (preset) => {
    expect(await rewardFromRules(preset)(attempt)).toEqual(scoreTrajectory(attempt, preset));
    expect(await rewardFromRules(rewardPresets[preset])(attempt)).toEqual(scoreTrajectory(attempt, preset));
  },
);

test("a judge is a rule like any other: its total is added and its parts stand in its place", async () => {
  const reward = await rewardFromRules([{ rule: "retrieval", value: 1 }, judge, ...rewardPresets["fixed/stage-2"]])(
    attempt,
  );
  expect(reward!.total).toBe(1.5);
  expect(reward!.parts.map(({ rule }) => rule)).toEqual(["retrieval", "judge", "f1", "format"]);
});

test("where one rule has no reward, or fails, there is none", async () => {
  const undecided: RewardFunction = () => undefined;
  expect(await rewardFromRules([judge, undecided])(attempt)).toBeUndefined();
  const away: RewardFunction = () => {
    throw new RewardError("the judge is away");
  };
  await expect(rewardFromRules([judge, away])(attempt)).rejects.toThrow(RewardError);
});

test("a rule is given the signal", async () => {
  const controller = new AbortController();
  const slow: RewardFunction = async (_, signal) => {
    await pause(60_000, signal);
    return undefined;
  };
  const scored = rewardFromRules([judge, slow])(attempt, controller.signal);
  controller.abort(new Error("no longer wanted"));
  await expect(scored).rejects.toThrow("no longer wanted");
});
