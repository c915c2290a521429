import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { ConfigError } from "../../base/errors.ts";
import { recipeDifferences } from "../store/run-folder.ts";
import { loadRecipe } from "./load-recipe.ts";
import { Recipe } from "./recipe.ts";
import { recipeNames } from "./recipe-file.ts";

const folder = mkdtempSync(join(tmpdir(), "recipes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function complaint(nameOrFile: string, ...sets: string[]): string {
  try {
    loadRecipe(nameOrFile, sets);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "none";
}

test.each(recipeNames())("the recipe %s is valid, and resolved it says the same when read back", (name) => {
  const recipe = loadRecipe(name);
  expect(recipe.name).toBe(basename(name));
  expect(Recipe.parse(parse(stringify(recipe)))).toEqual(recipe);
});

test("nano is the recipe of the study", () => {
  const { stages, rolloutBatch, stepsPerRollout, rollout, optimizer, model } = loadRecipe("nano");
  expect(stages.map(({ steps, learningRate }) => [steps, learningRate])).toEqual([
    [25, 3e-4],
    [100, 2.5e-4],
  ]);
  expect(rolloutBatch).toMatchObject({ questions: 16, siblings: 8 });
  expect([stepsPerRollout, rollout.k, rollout.maxSearches, rollout.maxTokens, optimizer.beta2]).toEqual([
    2, 2, 3, 288, 0.95,
  ]);
  expect(model).toBe(join("models", "nano"));
});

test.each<[string, ...string[]]>([
  ["no-masking", "loss.maskDocuments"],
  ["no-search", "rollout.maxSearches"],
  ["grpo", "estimator.kind", "estimator.whiten"],
  ["reward-em", "stages.1.reward"],
  ["reward-cover-em", "stages.1.reward"],
  ["easy-only", "stages.0.mix", "stages.1.mix"],
  ["hard-only", "stages.0.mix", "stages.1.mix"],
  ["no-stage-1", "stages"],
])("the ablation %s changes of nano what it asks about, and nothing else", (name, ...keys) => {
  const { name: _, ...nano } = loadRecipe("nano");
  const { name: __, ...ablation } = loadRecipe(`ablations/${name}`);
  const changed = recipeDifferences(nano, ablation).map((difference) => difference.slice(0, difference.indexOf(": ")));
  expect(changed.length).toBeGreaterThan(0);
  expect(changed.filter((key) => !keys.some((allowed) => key === allowed || key.startsWith(`${allowed}.`)))).toEqual(
    [],
  );
  const steps = ({ stages }: Pick<Recipe, "stages">) => stages.reduce((sum, stage) => sum + stage.steps, 0);
  expect(steps(ablation)).toBe(steps(nano));
});

test("a recipe goes over the one that it extends: groups merge, lists are replaced, names and paths stay their own", () => {
  const write = (path: string, content: object) => {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), stringify(content));
    return join(folder, path);
  };
  const stage = { name: "only", steps: 1, reward: "fixed/stage-2", mix: { "1-hop": 1 } };
  write("base.yaml", {
    ...{ name: "base", model: "model", rollout: { k: 3, maxSearches: 5 } },
    ...{ stages: [{ ...stage, name: "first" }, stage] },
  });
  write("deep/middle.yaml", { extends: "../base.yaml", name: "middle", promptFile: "mine.yaml", stages: [stage] });
  const top = write("deep/er/top.yaml", { extends: "../middle.yaml", name: "top", rollout: { k: 1 } });
  const recipe = loadRecipe(top, ["seed=4"]);
  expect(recipe).toMatchObject({ name: "top", seed: 4, rollout: { k: 1, maxSearches: 5 }, stages: [{ name: "only" }] });
  expect([recipe.model, recipe.promptFile]).toEqual([join(folder, "model"), join(folder, "deep", "mine.yaml")]);
  expect(recipe.stages.length).toBe(1);
  expect(recipe).not.toHaveProperty("extends");
  expect(loadRecipe(write("mine-too.yaml", { extends: "nano", name: "mine-too" })).model).toBe(
    loadRecipe("nano").model,
  );

  expect(complaint(write("nameless.yaml", { extends: "base.yaml" }))).toContain("name is missing");
  expect(complaint(write("number.yaml", { extends: 3 }))).toContain("extends is 3: expected the name of a recipe");
  expect(complaint(write("lost.yaml", { extends: "nanno" }))).toContain('there is no recipe "nanno"');
  expect(complaint(write("a.yaml", { extends: "b.yaml" }))).toContain("b.yaml cannot be read");
  write("b.yaml", { extends: "a.yaml" });
  expect(complaint(join(folder, "a.yaml"))).toMatch(/a\.yaml extends itself: .*a\.yaml → .*b\.yaml → .*a\.yaml/);
});

test("a setting goes over the recipe, into stages too", () => {
  const recipe = loadRecipe("nano", ["stages.0.steps=3", "loss.clipHigh=1e9", "estimator.kind=grpo"]);
  expect([recipe.stages[0]!.steps, recipe.loss.clipHigh, recipe.estimator.kind]).toEqual([3, 1e9, "grpo"]);
});

test("KL is absent unless it is asked for, and says by what kind", () => {
  expect(loadRecipe("nano")).not.toHaveProperty("kl");
  expect(loadRecipe("nano", ["kl.kind=k3"]).kl).toEqual({ kind: "k3", coefficient: 1e-4 });
  expect(loadRecipe("nano", ["kl.kind=off", "kl.coefficient=0.01"]).kl).toEqual({ kind: "off", coefficient: 0.01 });
  expect(complaint("nano", "kl.kind=k1", "kl.coefficient=0")).toContain("kl.coefficient is 0: Too small");
});

test.each([
  ["optimizer.learningrate=1", "recipes/nano.yaml: unknown key optimizer.learningrate (did you mean learningRate?)"],
  ["stages.0.rewrd=x", "recipes/nano.yaml: unknown key stages.0.rewrd (did you mean reward?)"],
  [
    "estimator.kind=gpro",
    'recipes/nano.yaml: estimator.kind is "gpro": Invalid option: expected one of "reinforce++-baseline"|"reinforce++"|"grpo"|"rloo"|"dr-grpo"',
  ],
  ["rolloutBatch.siblings=1", "recipes/nano.yaml: rolloutBatch.siblings is 1: Too small: expected number to be >=2"],
  [
    "optimizer.learningRate=.nan",
    "recipes/nano.yaml: optimizer.learningRate is null: Invalid input: expected number, received NaN",
  ],
  ["loss.dualClip=1", "recipes/nano.yaml: loss.dualClip is 1: Too small: expected number to be >1"],
  ["loss.truncateRatio=0.5", "recipes/nano.yaml: loss.truncateRatio is 0.5: Too small: expected number to be >=1"],
  [
    "kl.coefficient=0.01",
    'recipes/nano.yaml: kl.kind is missing: Invalid option: expected one of "off"|"k1"|"k2"|"k3"',
  ],
  ["extends=nano", "recipes/nano.yaml: unknown key extends"],
  ["stages.1.name=stage-1", "expected distinct names"],
  ["stages.1.name=../../twice", 'stages.1.name is "../../twice": expected letters, digits'],
  ["stages.1.name=a/b", "stages.1.name is"],
  ["stages.1.name=..", "stages.1.name is"],
  ['stages.1.name="\\e[2J"', "stages.1.name is"],
  ["stages.0.name=base", "other evaluations of a run are called so"],
  ["stages.0.name=step-000010", "other evaluations of a run are called so"],
  [`stages.0.name=${"a".repeat(81)}`, "Too big: expected string to have <=80 characters"],
  ["name=..", 'name is "..": expected letters, digits'],
  ["name=.", "name is"],
  ["name=a/b", "name is"],
  ["stages.0.reward=fixed/stage-3", "expected a list of rules or one of paper/stage-1"],
  ["stepsPerRollout=9", "stepsPerRollout is 9: expected at most rolloutBatch.siblings (8)"],
  ["search.source=index", "search.path is missing"],
  ["data.source=file", "search.source is world, but data.source is file"],
  ["stages.0.mix={}", "stages.0.mix is missing"],
])("%s is refused: %s", (set, message) => {
  expect(complaint("nano", set)).toContain(message);
});

test.each([
  ...["rolloutBatch.questions", "rolloutBatch.siblings", "rolloutBatch.concurrency", "eval.full.questions"],
  ...[
    "stages.0.steps",
    "lora.rank",
    "rollout.contextLength",
    "rollout.maxTokens",
    "checkpoint.keep",
    "stepsPerRollout",
  ],
  ...["engine.threads", "engine.workers"],
])("a size has a bound: %s=1000000000 is refused", (key) => {
  expect(complaint("nano", `${key}=1000000000`)).toContain(`${key} is 1000000000: Too big`);
});

test("KL has no meaning for documents that are learnt from", () => {
  expect(complaint("nano", "loss.maskDocuments=false", "kl.kind=k3")).toContain(
    "maskDocuments is false, but kl.kind is k3",
  );
  expect(complaint("nano", "loss.maskDocuments=false", "kl.kind=off")).toBe("none");
});

test("a recipe that does not exist is named with the nearest one", () => {
  expect(complaint("nanno")).toBe('there is no recipe "nanno" (did you mean nano?)');
  expect(complaint("./nowhere.yaml")).toMatch(/recipe \.\/nowhere\.yaml cannot be read: ENOENT/);
});

test("paths in a recipe start from its folder, paths in settings from the working directory", () => {
  const inner = join(folder, "inner");
  mkdirSync(inner);
  const file = join(inner, "mine.yaml");
  const text = {
    name: "mine",
    model: "../model",
    search: { source: "index", path: "wiki" },
    data: { source: "file", file: "train.jsonl" },
    eval: { file: "dev.jsonl" },
    stages: [{ name: "only", steps: 1, reward: "fixed/stage-2" }],
  };
  writeFileSync(file, stringify(text));
  const recipe = loadRecipe(relative(process.cwd(), file), ["eval.file=held/out.jsonl"]);
  expect([recipe.model, recipe.search.path, recipe.data.file]).toEqual([
    join(folder, "model"),
    join(inner, "wiki"),
    join(inner, "train.jsonl"),
  ]);
  expect(recipe.eval.file).toBe(join("held", "out.jsonl"));
  expect(complaint(file, "eval={}")).toContain("eval.file is missing");
});
