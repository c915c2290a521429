import { expect, test } from "vitest";
import { StageConfig } from "./config.ts";
import { createCurriculum, listSource } from "./curriculum.ts";
import { stages } from "./testing/tiny-run.ts";

test("stages follow each other and their ends are milestones", () => {
  const curriculum = createCurriculum(stages, { batch: 1, source: () => [] });
  expect([0, 3, 4, 9].map((step) => curriculum.stageAt(step).name)).toEqual([
    "stage-1",
    "stage-1",
    "stage-2",
    "stage-2",
  ]);
  expect([0, 1, 4, 10].map(curriculum.milestoneAt)).toEqual(["base", undefined, "stage-1", "stage-2"]);
  expect(() => curriculum.stageAt(10)).toThrow("there is no step 10");
});

test("a list gives each question once in a pass, in another order in each pass", () => {
  const list = Array.from({ length: 10 }, (_, i) => ({ id: `${i}`, text: `${i}?`, gold: ["x"] }));
  const make = () =>
    createCurriculum([StageConfig.parse({ ...stages[0], steps: 10 })], { batch: 4, source: listSource(() => list, 3) });
  const ids = Array.from({ length: 10 }, (_, step) =>
    make()
      .questionsFor(step)
      .map(({ id }) => id),
  ).flat();
  const passes = [0, 1, 2, 3].map((pass) => ids.slice(10 * pass, 10 * pass + 10));
  for (const pass of passes) expect(pass.toSorted()).toEqual(list.map(({ id }) => id));
  expect(new Set(passes.map(String)).size).toBe(4);
  const inOrder = make();
  expect(Array.from({ length: 10 }, (_, step) => inOrder.questionsFor(step).map(({ id }) => id)).flat()).toEqual(ids);
  expect(() => createCurriculum(stages, { batch: 11, source: listSource(() => list, 3) }).questionsFor(0)).toThrow(
    /10 questions; a step asks 11/,
  );
});
