import { expect, test } from "vitest";
import { EngineError } from "../base/errors.ts";
import { memoryKeeper } from "./testing/memory-keeper.ts";
import { TinyLearner, tinyParts } from "./testing/tiny-run.ts";
import { train } from "./training-loop.ts";

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
      attempts.push(`${request.step}/${request.rollbacks}`);
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
