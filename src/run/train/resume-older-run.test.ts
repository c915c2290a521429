import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { InterruptedError } from "../../base/errors.ts";
import type { Trajectory } from "../../rollout/trajectory.ts";
import type { RecipeInput } from "../recipe/recipe.ts";
import { runTraining } from "./run-training.ts";

const root = mkdtempSync(join(tmpdir(), "older-run-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const recipe: RecipeInput = {
  extends: "nano",
  name: "tiny",
  stages: [{ name: "only", steps: 2, reward: "fixed/stage-1", mix: { "1-hop": 1 } }],
  rolloutBatch: { questions: 2, siblings: 2 },
  rollout: { maxTokens: 32 },
  eval: { every: 0, curve: { questions: 2 }, full: { questions: 2, decode: ["greedy"] } },
};
/** So that siblings differ. */
const reward = ({ tape }: Trajectory) => ({ total: tape.tokens.length / 100, parts: [] });

const weightsOf = (run: string) =>
  createHash("sha256")
    .update(readFileSync(join(run, "checkpoints", "step-000002", "model.safetensors")))
    .digest("hex");

/** What the run folder keeps of the recipe, changed. */
function editStored(run: string, edit: (stored: { engine: { kind?: string } }) => void): void {
  const file = join(run, "recipe.yaml");
  const stored = parse(readFileSync(file, "utf8"));
  edit(stored);
  writeFileSync(file, stringify(stored));
}

test("a run that was stopped when recipes named no engine.kind is continued, and ends with the same weights", async () => {
  const whole = await runTraining({ recipe, reward, out: join(root, "whole") });
  const out = join(root, "stopped");
  const stop = new AbortController();
  const onEvent = ({ kind }: { readonly kind: string }) => kind === "step" && stop.abort();
  await expect(runTraining({ recipe, reward, out, signal: stop.signal, onEvent })).rejects.toThrow(InterruptedError);

  editStored(out, (stored) => {
    expect(stored.engine.kind).toBe("onnx");
    stored.engine.kind = "other";
  });
  await expect(runTraining({ recipe, reward, out, resume: true })).rejects.toThrow(/engine\.kind: "other" → "onnx"/);

  editStored(out, ({ engine }) => delete engine.kind);
  expect(readFileSync(join(out, "recipe.yaml"), "utf8")).not.toMatch(/kind: "?onnx/);
  const { history } = await runTraining({ recipe, reward, out, resume: true });
  expect(history).toHaveLength(2);
  expect(weightsOf(out)).toBe(weightsOf(whole.run));
});
