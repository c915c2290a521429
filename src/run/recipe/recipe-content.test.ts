import { expect, test } from "vitest";
import { z } from "zod";
import { ConfigError } from "../../base/errors.ts";
import { parseRecipe } from "./recipe-content.ts";

const Schema = z.strictObject({
  seed: z.int().default(1),
  optimizer: z.strictObject({ learningRate: z.number().positive().default(0.1) }).prefault({}),
  stages: z.array(z.strictObject({ steps: z.int().positive() })).default([]),
});

const file = "r.yaml";
const complaint = (text: string, ...overrides: string[]) => {
  try {
    parseRecipe(Schema, text, { file, overrides });
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "none";
};

test("an empty recipe is all defaults", () => {
  expect(parseRecipe(Schema, "# nothing\n", { file })).toEqual({
    seed: 1,
    optimizer: { learningRate: 0.1 },
    stages: [],
  });
});

test("a setting goes over the recipe, also into groups that it does not have and into lists", () => {
  const overrides = ["seed=7", "optimizer.learningRate=3e-4", "stages.0.steps=2"];
  const recipe = parseRecipe(Schema, "seed: 2\nstages: [{ steps: 50 }]", { file, overrides });
  expect(recipe).toEqual({ seed: 7, optimizer: { learningRate: 3e-4 }, stages: [{ steps: 2 }] });
});

test("an unknown key is named with the nearest one that exists", () => {
  expect(complaint("optimizer: { learningrate: 1 }")).toBe(
    "r.yaml: unknown key optimizer.learningrate (did you mean learningRate?)",
  );
  expect(complaint("stages: [{ steps: 1, step: 2 }]")).toBe("r.yaml: unknown key stages.0.step (did you mean steps?)");
  expect(complaint("", "zebra=1")).toBe("r.yaml: unknown key zebra (known: seed, optimizer, stages)");
});

test("a bad value is shown with its key", () => {
  expect(complaint("seed: 1.5")).toContain("r.yaml: seed is 1.5");
  expect(complaint("stages: [{}]")).toContain("stages.0.steps is missing");
});

test("broken YAML is named by its line", () => {
  expect(complaint("seed: 1\noptimizer: {")).toContain("r.yaml:2 is not YAML");
  expect(complaint("seed: 1\nseed: 2")).toContain("r.yaml:2 is not YAML");
  expect(complaint("- a list")).toBe("r.yaml does not hold keys and values");
});

test("a setting cannot reach into a value or a prototype", () => {
  expect(complaint("seed: 1", "seed.deep=1")).toContain("seed holds a value");
  expect(complaint("", "__proto__.polluted=1")).toContain("names no key");
  expect(complaint("", "constructor.prototype.polluted=1")).toContain("unknown key constructor");
  expect("polluted" in {}).toBe(false);
});

test.each([
  ["stages.-1.steps=5", "--set stages.-1.steps=5: stages is a list with the items 0 to 1, and has no -1"],
  ["stages.foo=1", "--set stages.foo=1: stages is a list with the items 0 to 1, and has no foo"],
  ["stages.01.steps=2", "has no 01"],
  ["stages.3.steps=2", "has no 3"],
  ["stages.length=1000000000", "has no length"],
  ["stages.1e9.steps=2", "has no 1e9"],
])("a list has numbered items only: %s is refused", (set, message) => {
  expect(complaint("stages: [{ steps: 1 }, { steps: 2 }]", set)).toContain(message);
});

test("the number after a list's last item adds one", () => {
  const recipe = parseRecipe(Schema, "stages: [{ steps: 1 }]", { file, overrides: ["stages.1.steps=2"] });
  expect(recipe.stages).toEqual([{ steps: 1 }, { steps: 2 }]);
});

const bomb = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
  .concat([..."bcdefghij"].map((key, i) => `${key}: &${key} [${Array(10).fill(`*${"abcdefghij"[i]}`).join(", ")}]`))
  .join("\n");

test("an alias bomb and a value that contains itself are refused, in a recipe and in a setting", () => {
  expect(complaint(bomb)).toMatch(/^r\.yaml:1 is not YAML: Excessive alias count/);
  expect(complaint("seed: &x [*x]")).toBe("r.yaml:1 is not YAML: an alias stands for a value that contains itself");
  expect(complaint("", "seed=&a [*a]")).toBe(
    "--set seed=&a [*a]: the value is not YAML: an alias stands for a value that contains itself",
  );
});

test("YAML that is nested deeper than the parser can read is a mistake of the recipe, not a bug", () => {
  expect(complaint("[".repeat(20_000))).toMatch(/^r\.yaml:\d+ is not YAML/);
  expect(complaint("", `seed=${"[".repeat(20_000)}`)).toMatch(/the value is not YAML/);
});

test("a complaint stays short, whatever was given", () => {
  expect(complaint(`seed: ${"x".repeat(100_000)}`).length).toBeLessThan(250);
  const many = complaint(`stages: [${"{},".repeat(1000)}]`);
  expect(many).toContain("and 992 more faults");
  expect(many.length).toBeLessThan(1500);
});
