import { expect, test } from "vitest";
import { InterruptedError } from "../base/errors.ts";
import { memoryKeeper } from "./testing/memory-keeper.ts";
import { config, TinyLearner, tinyParts } from "./testing/tiny-run.ts";
import { train } from "./training-loop.ts";

test("evaluations come at base, every n steps and at stage ends; the full one only at base and stage ends", async () => {
  const learner = new TinyLearner();
  const seen: string[] = [];
  const { keeper, records, saves } = memoryKeeper(learner);
  const evaluate = async ({ checkpoint, scope }: { checkpoint: string; scope: string }) => {
    seen.push(`${checkpoint} ${scope}`);
    return { score: seen.length, metrics: { [`eval/${scope}`]: seen.length } };
  };
  await train(tinyParts(learner, { keeper, evaluate }));
  expect(seen).toEqual([
    ...["base curve", "base full", "step-000003 curve", "stage-1 curve", "stage-1 full"],
    ...["step-000006 curve", "step-000009 curve", "stage-2 curve", "stage-2 full"],
  ]);
  expect(records[3]!.metrics["eval/curve"]).toBe(3);
  expect(Object.keys(records[10]!.metrics)).toEqual(["eval/curve", "eval/full"]);
  expect(saves.map(({ cursor }) => cursor.step)).toEqual([0, 2, 3, 4, 6, 8, 9, 10]);
  expect(saves.at(-1)!.pinned).toEqual([4, 10, 9]); // stage ends and the best so far
});

test("a step is also saved where the last save is too old, which changes nothing else", async () => {
  const run = async (checkpointSeconds: number) => {
    let seconds = 0;
    const learner = new TinyLearner();
    const { keeper, records, saves } = memoryKeeper(learner);
    const parts = tinyParts(learner, {
      keeper,
      config: config({ checkpointEvery: 100, evalEvery: 0, checkpointSeconds }),
    });
    await train({
      ...parts,
      now: () => seconds,
      rollOut: async (questions, request) => {
        seconds += 60;
        return parts.rollOut(questions, request);
      },
    });
    return { steps: saves.map(({ cursor }) => cursor.step), metrics: records.map(({ metrics }) => metrics) };
  };
  const [seldom, often] = [await run(1e9), await run(150)];
  expect(seldom.steps).toEqual([0, 4, 10]);
  expect(often.steps).toEqual([0, 3, 4, 7, 10]);
  expect(often.metrics).toEqual(seldom.metrics);
});

test("a signal saves and leaves: before a weight changed the step is abandoned, after that it is finished", async () => {
  for (const when of ["rollOut", "update", "evaluate"] as const) {
    const learner = new TinyLearner();
    const { keeper, saves, records } = memoryKeeper(learner);
    const controller = new AbortController();
    const parts = tinyParts(learner, { keeper, signal: controller.signal });
    const stop = (now: boolean) => {
      if (now) controller.abort();
      return false;
    };
    learner.broken = () => stop(when === "update" && learner.updates === 6);
    const interrupted = train({
      ...parts,
      rollOut: async (questions, request) => {
        stop(when === "rollOut" && request.step === 3);
        return parts.rollOut(questions, request);
      },
      evaluate: async (request) => {
        stop(when === "evaluate" && request.step === 3);
        return parts.evaluate!(request);
      },
    });
    await expect(interrupted).rejects.toThrow(InterruptedError);
    expect(saves.at(-1)!.cursor.step).toBe(when === "update" ? 4 : 3);
    expect(learner.updates).toBe(when === "update" ? 8 : 6);
    expect(records.length).toBe(when === "update" ? 4 : 3);
  }
});

test("a run that was stopped anywhere ends as one that was not", async () => {
  const whole = new TinyLearner();
  const wholeKeeper = memoryKeeper(whole);
  await train(tinyParts(whole, { keeper: wholeKeeper.keeper }));
  for (let stopAt = 0; stopAt < 10; stopAt++) {
    const learner = new TinyLearner();
    const { keeper, saves, records } = memoryKeeper(learner);
    const parts = tinyParts(learner, { keeper });
    const controller = new AbortController();
    const rollOut: typeof parts.rollOut = (questions, request) => {
      if (request.step === stopAt) controller.abort();
      return parts.rollOut(questions, request);
    };
    await expect(train({ ...parts, rollOut, signal: controller.signal })).rejects.toThrow(
      `stopped before step ${stopAt + 1} of 10`,
    );
    await train(parts, saves.at(-1)!.cursor, true);
    expect([...learner.logits, ...learner.momentum]).toEqual([...whole.logits, ...whole.momentum]);
    expect(records.map(({ metrics }) => metrics)).toEqual(wholeKeeper.records.map(({ metrics }) => metrics));
  }
});

test("a run that is stopped in its last evaluation does not name a step that it does not have", async () => {
  const controller = new AbortController();
  const parts = tinyParts(new TinyLearner(), { signal: controller.signal });
  const evaluate: typeof parts.evaluate = async (request) => {
    if (request.step === parts.curriculum.steps) controller.abort();
    return parts.evaluate!(request);
  };
  await expect(train({ ...parts, evaluate })).rejects.toThrow(/stopped after the last of 10 steps, in its evaluation/);
});
