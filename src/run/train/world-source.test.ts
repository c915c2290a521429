import { expect, test } from "vitest";
import { ConfigError } from "../../base/errors.ts";
import { makeWorld } from "../../data/world/world.ts";
import { createCurriculum } from "../../rl/curriculum.ts";
import { RecipeStage } from "../recipe/recipe-stage.ts";
import { worldSource } from "./world-source.ts";

const stages = [
  { name: "stage-1", steps: 4 },
  { name: "stage-2", steps: 6 },
].map((stage) => RecipeStage.parse({ ...stage, reward: "fixed/stage-1" }));

test("a world asks fresh questions at every step, in the shares of the stage, and the same ones again", () => {
  const mixed = stages.map((stage) => RecipeStage.parse({ ...stage, mix: { "1-hop": 1, comparison: 1 } }));
  const source = worldSource([makeWorld({ seed: 1, split: "train", size: "small" })], 7);
  const curriculum = createCurriculum(mixed, { batch: 12, source });
  const [first, second] = [curriculum.questionsFor(0), curriculum.questionsFor(1)];
  expect(curriculum.questionsFor(0)).toEqual(first);
  expect(new Set([...first, ...second].map(({ id }) => id)).size).toBe(24);
  expect(new Set(first.map(({ text }) => text)).size).toBe(12);
  expect(second.map(({ text }) => text)).not.toEqual(first.map(({ text }) => text));
  expect([...new Set(first.map(({ type }) => type))].sort()).toEqual(["1-hop", "comparison"]);
  expect(() => createCurriculum(stages, { batch: 1, source }).questionsFor(0)).toThrow(ConfigError);
});

test("a stage may ask for three look-ups in a row", () => {
  const mixed = stages.map((stage) => RecipeStage.parse({ ...stage, mix: { "1-hop": 1, "3-hop": 3 } }));
  const source = worldSource([makeWorld({ seed: 1, split: "train", size: "small" })], 7);
  const types = createCurriculum(mixed, { batch: 40, source })
    .questionsFor(0)
    .map(({ type }) => type);
  expect([...new Set(types)].sort()).toEqual(["1-hop", "3-hop"]);
  expect(types.filter((type) => type === "3-hop").length).toBeGreaterThan(types.length / 2);
});
