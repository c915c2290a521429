/** @file When a run opens its reference policy. The model's folder is deleted once the policy is open, which shows it. */
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Trajectory } from "../../rollout/trajectory.ts";
import { bundled } from "../engines/open-policy.ts";
import type { RecipeInput } from "../recipe/recipe.ts";
import { runTraining } from "./run-training.ts";

const root = mkdtempSync(join(tmpdir(), "reference-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const recipe: RecipeInput = {
  extends: "nano",
  name: "tiny",
  stages: [{ name: "only", steps: 1, reward: "fixed/stage-1", mix: { "1-hop": 1 } }],
  rolloutBatch: { questions: 2, siblings: 2 },
  rollout: { maxTokens: 32 },
  eval: { every: 0, curve: { questions: 2 }, full: { questions: 2, decode: ["greedy"] } },
};
/** So that siblings differ. */
const reward = ({ tape }: Trajectory) => ({ total: tape.tokens.length / 100, parts: [] });

/** A run whose model has no files any more when the reference would be opened. */
function runWithoutFiles(name: string, changes: Pick<RecipeInput, "kl" | "lora">) {
  const model = join(root, `${name}-model`);
  cpSync(bundled("nano"), model, { recursive: true });
  let messages = 0;
  const run = runTraining({
    recipe: { ...recipe, ...changes, model },
    reward,
    out: join(root, name),
    onEvent: ({ kind }) => {
      if (kind === "message" && messages++ === 0) rmSync(model, { recursive: true }); // the policy was just opened
    },
  });
  return { run, model };
}

test("a run without KL does not open a reference", async () => {
  const { run, model } = runWithoutFiles("without", {});
  expect((await run).history).toHaveLength(1);
  expect(existsSync(model)).toBe(false);
});

test("nor does one whose KL is off", async () => {
  const { run } = runWithoutFiles("off", { kl: { kind: "off" } });
  expect((await run).history).toHaveLength(1);
});

test("a run with KL opens it from the model's files", async () => {
  const { run, model } = runWithoutFiles("kl", { kl: { kind: "k3", coefficient: 0.01 } });
  await expect(run).rejects.toThrow(model);
});

test("with an adapter, KL takes the model below it and needs no files", async () => {
  const { run } = runWithoutFiles("adapter", { kl: { kind: "k3", coefficient: 0.01 }, lora: { rank: 4 } });
  expect((await run).history).toHaveLength(1);
});
