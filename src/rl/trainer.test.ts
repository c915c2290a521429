import { expect, test } from "vitest";
import { EngineError, InterruptedError, SearchError } from "../base/errors.ts";
import type { TrainingSequence } from "../engine/engine.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import { LossConfig } from "./config.ts";
import type { Cursor, Keeper, Outage, StepRecord } from "./parts.ts";
import { firstCursor } from "./parts.ts";
import { config, TinyLearner, tinyParts } from "./testing/tiny-run.ts";
import { train } from "./trainer.ts";

/** Keeps records and learner states in memory. */
function memoryKeeper(learner: TinyLearner) {
  const records: StepRecord[] = [];
  const saves: { cursor: Cursor; pinned: readonly number[]; state: [Float64Array, Float64Array, number] }[] = [];
  const keeper: Keeper = {
    record: async (record) => void records.push(record),
    save: async (cursor, pinned) => {
      saves.push({ cursor, pinned, state: [learner.logits.slice(), learner.momentum.slice(), learner.updates] });
    },
    rollBack: async () => {
      const { cursor, state } = saves.at(-1)!;
      [learner.logits, learner.momentum, learner.updates] = [state[0].slice(), state[1].slice(), state[2]];
      records.length = records.findIndex(({ step }) => step >= cursor.step);
      return cursor;
    },
  };
  return { keeper, records, saves };
}

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
    score: (trajectory, stage) => {
      if (trajectory.stop === "environment-failed") throw new Error("a failed attempt was scored");
      return parts.score(trajectory, stage);
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

test("an outage waits and then makes the step as if nothing had been; without a wait it ends the run", async () => {
  const outages: Outage[] = [];
  const run = async (outage: boolean) => {
    const learner = new TinyLearner();
    const { keeper, records } = memoryKeeper(learner);
    const parts = tinyParts(learner, { keeper });
    let calls = 0;
    await train({
      ...parts,
      waitOut: async (what) => void outages.push(what),
      rollOut: async (questions, request) => {
        const groups = await parts.rollOut(questions, request);
        const isAway = outage && calls++ < 2;
        const searches = [{ query: "x", passageIds: [], error: "connection refused" }];
        return isAway
          ? groups.map((group) => group.map((one) => ({ ...one, searches, stop: "environment-failed" as const })))
          : groups;
      },
    });
    return { logits: [...learner.logits], metrics: records.map(({ metrics }) => metrics) };
  };
  expect(await run(true)).toEqual(await run(false));
  expect(outages).toMatchObject([
    { step: 0, failed: 12, attempts: 12, times: 1, because: "connection refused" },
    { times: 2 },
  ]);
  const parts = tinyParts(new TinyLearner());
  const rollOut: typeof parts.rollOut = async (questions, request) =>
    (await parts.rollOut(questions, request)).map((group) =>
      group.map((one) => ({ ...one, stop: "environment-failed" as const })),
    );
  await expect(train({ ...parts, rollOut })).rejects.toThrow(SearchError);
});

test("a refused update is counted and changes nothing else", async () => {
  const learner = new TinyLearner();
  learner.broken = (update) => update === 3;
  const { keeper, records } = memoryKeeper(learner);
  await train(tinyParts(learner, { keeper }));
  expect(records.map(({ metrics }) => metrics["optim/refused"] ?? 0)).toEqual([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(learner.updates).toBe(19);
  expect(records[1]!.metrics["optim/applied"]).toBe(1);
});

test("three refused in a row go back to the last checkpoint, with other draws, and the run gets past it", async () => {
  const learner = new TinyLearner();
  learner.broken = (update) => update >= 7 && update <= 9; // steps 3 and 4; the checkpoint before is of step 3
  const { keeper, records, saves } = memoryKeeper(learner);
  const attempts: string[] = [];
  const parts = tinyParts(learner, { keeper });
  const end = await train({
    ...parts,
    rollOut: (questions, request) => {
      attempts.push(`${request.step}/${request.attempt}`);
      return parts.rollOut(questions, request);
    },
  });
  expect(attempts).toEqual(["0/0", "1/0", "2/0", "3/0", "4/0", "3/1", "4/1", "5/0", "6/0", "7/0", "8/0", "9/0"]);
  expect(end).toMatchObject({ step: 10, rollbacks: 0, refused: 0 });
  expect(records.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(saves.filter(({ cursor }) => cursor.refused > 0)).toEqual([]);
});

test("gradients that stay broken stop the run after going back twice", async () => {
  const learner = new TinyLearner();
  learner.broken = (update) => update >= 7;
  const { keeper } = memoryKeeper(learner);
  await expect(train(tinyParts(learner, { keeper }))).rejects.toThrow(EngineError);
  await expect(train(tinyParts(learner, { keeper }))).rejects.toThrow(
    /3 updates in a row were refused.*going back 2 times/,
  );
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

test("where sampler and learner are told apart, the learner is asked once a step and truncation is counted", async () => {
  const asked = { steps: 0 };
  const trainBy = async (lift: number) => {
    const learner = new TinyLearner();
    const { keeper, records } = memoryKeeper(learner);
    const { logprobs } = learner;
    learner.logprobs = (batch) => {
      asked.steps++;
      return logprobs.call(learner, batch);
    };
    const loss = LossConfig.parse({ normaliser: "token", truncateRatio: 2 });
    const parts = tinyParts(learner, { keeper, config: config({ loss }) });
    await train({
      ...parts,
      rollOut: async (questions, request) =>
        (await parts.rollOut(questions, request)).map((group) =>
          group.map((one) => ({ ...one, logprobs: one.logprobs.map((value) => (value === 0 ? 0 : value - lift)) })),
        ),
    });
    return { learner, metrics: records[0]!.metrics };
  };
  const same = await trainBy(0);
  expect(asked.steps).toBe(10);
  expect(same.metrics).toMatchObject({ "policy/truncated_share": 0 });
  expect(same.metrics["policy/mismatch_kl"]).toBeCloseTo(0, 6);
  const apart = await trainBy(1);
  expect(apart.metrics).toMatchObject({ "policy/truncated_share": 1 });
  expect(apart.metrics["policy/mismatch_kl"]).toBeCloseTo(Math.E - 2, 5);
  const [one, other] = [same, apart].map(({ learner }) => learner.batches[0]![0]!);
  for (const [t, advantage] of one!.advantages.entries()) expect(other!.advantages[t]).toBeCloseTo(2 * advantage, 5);
  expect(other!.oldLogprobs).toEqual(one!.oldLogprobs);
});

test("where documents are learnt from, their old log-probabilities are the learner's own before the step", async () => {
  const readable = ({ tape, ...rest }: Trajectory): Trajectory => {
    return { ...rest, tape: { ...tape, tokens: tape.tokens.map((token) => (token === 9 ? 1 : token)) } };
  };
  const trainBy = async (maskDocuments: boolean) => {
    const learner = new TinyLearner();
    const { keeper, records } = memoryKeeper(learner);
    const parts = tinyParts(learner, { keeper, config: config({ loss: LossConfig.parse({ maskDocuments }) }) });
    const rollOut: typeof parts.rollOut = async (questions, request) =>
      (await parts.rollOut(questions, request)).map((group) => group.map(readable));
    await train({ ...parts, rollOut });
    return { batches: learner.batches, metrics: records[0]!.metrics };
  };
  const [masked, unmasked] = [await trainBy(true), await trainBy(false)];
  const learnt = ({ weights }: TrainingSequence) => [...weights].map((weight) => Number(weight !== 0));
  expect(learnt(masked.batches[0]![0]!)).toEqual([0, 0, 1, 1, 1, 0, 0, 1, 1, 1]);
  expect(learnt(unmasked.batches[0]![0]!)).toEqual([0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  // both updates of a step start from what the learner said before the first, so the second one's ratio has moved
  for (const { oldLogprobs } of [...unmasked.batches[0]!, ...unmasked.batches[1]!]) {
    expect(oldLogprobs[5]).toBeCloseTo(Math.log(1 / 3), 5);
  }
  expect(unmasked.metrics["policy/mismatch_kl"]).toBeCloseTo(0, 6);
  expect(unmasked.metrics).not.toHaveProperty("policy/truncated_share");
});
