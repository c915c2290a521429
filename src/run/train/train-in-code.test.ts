/** @file `train` with parts that a program supplies: they are used, recorded, and demanded again by a resume. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { ConfigError, InterruptedError } from "../../base/errors.ts";
import type { Trajectory } from "../../rollout/trajectory.ts";
import { memorySearcher } from "../../search/bm25/searcher.ts";
import type { Searcher } from "../../search/searcher.ts";
import { openPolicy } from "../engines/open-engine.ts";
import { bundled } from "../engines/open-policy.ts";
import type { RecipeInput } from "../recipe/recipe.ts";
import { openRun } from "../store/read-run.ts";
import { runTraining } from "./run-training.ts";

const root = mkdtempSync(join(tmpdir(), "train-in-code-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const recipe: RecipeInput = {
  extends: "nano",
  name: "tiny",
  stages: [{ name: "only", steps: 2, reward: "fixed/stage-1", mix: { "1-hop": 1 } }],
  rolloutBatch: { questions: 2, siblings: 4 },
  rollout: { maxTokens: 48 },
  eval: { every: 0, curve: { questions: 2 }, full: { questions: 2, decode: ["greedy"] } },
  checkpoint: { every: 1, keep: 9 },
};
/** So that siblings differ: how many tokens the attempt has. */
const reward = ({ tape }: Trajectory) => {
  const total = tape.tokens.length / 100;
  return { total, parts: [{ rule: "length", value: total, because: `${tape.tokens.length} tokens` }] };
};
const weights = (run: string) =>
  createHash("sha256")
    .update(readFileSync(join(run, "checkpoints", "step-000002", "model.safetensors")))
    .digest("hex");

describe("a reward in code", () => {
  const out = join(root, "reward");

  test("scores every attempt, and the run says that it was supplied", async () => {
    const { run, history } = await runTraining({ recipe, reward, out });
    expect(parse(readFileSync(join(out, "recipe.yaml"), "utf8")).suppliedInCode).toEqual(["reward"]);
    const read = openRun(run);
    expect(read.suppliedInCode).toEqual(["reward"]);
    expect(read.recipe.rollout.maxTokens).toBe(48);
    expect(read.metrics().map(({ step }) => step)).toEqual([0, 1, 2]);
    expect(read.timing()).toHaveLength(3);
    expect(read.evaluations().map(({ step, scope }) => [step, scope])).toContainEqual([2, "full"]);
    expect(read.checkpoints().map(({ step }) => step)).toEqual([0, 1, 2]);
    expect(read.attemptSteps()).toEqual([0, 1]);
    const attempts = read.attempts(1);
    expect(attempts).toHaveLength(8);
    for (const { trajectory, reward: kept } of attempts) {
      expect(kept).toEqual(reward(trajectory as Trajectory));
      const policyTokens = trajectory.tape.runs.reduce(
        (sum, run) => sum + (run.author === "policy" ? run.length : 0),
        0,
      );
      expect(trajectory.logprobs.filter((logprob) => logprob < 0)).toHaveLength(policyTokens);
    }
    expect(history.map((step) => step.reward > 0)).toEqual([true, true]);
  }, 120_000);

  test("must be there again when the run is resumed, and nothing else", async () => {
    await expect(runTraining({ recipe, out, resume: true })).rejects.toThrow(
      /ran with reward supplied in code, and now it would run with nothing supplied in code/,
    );
    const searcher = (passages: Parameters<typeof memorySearcher>[0]) => memorySearcher(passages);
    await expect(runTraining({ recipe, reward, searcher, out, resume: true })).rejects.toThrow(
      /now it would run with searcher and reward supplied in code/,
    );
    await expect(runTraining({ recipe: join(out, "recipe.yaml"), out: join(root, "other") })).rejects.toThrow(
      ConfigError,
    );
  }, 120_000);

  test("gives the same weights where the run was stopped and resumed", async () => {
    const again = join(root, "resumed");
    const stop = new AbortController();
    const onEvent = (event: { readonly kind: string }) => event.kind === "step" && stop.abort();
    const stopped = runTraining({ recipe, reward, out: again, signal: stop.signal, onEvent });
    await expect(stopped).rejects.toThrow(InterruptedError);
    const { history } = await runTraining({ recipe, reward, out: again, resume: true });
    expect(history).toHaveLength(2);
    expect(weights(again)).toBe(weights(out));
  }, 120_000);

  test("for a stage that the recipe does not have is refused before anything is written", async () => {
    const nowhere = join(root, "nowhere");
    const run = runTraining({ recipe, reward: { other: reward }, out: nowhere });
    await expect(run).rejects.toThrow(/reward has a function for stage "other"/);
    expect(existsSync(nowhere)).toBe(false);
  });
});

describe("other parts in code", () => {
  test("a learner gives the bits of the embedded engine, which it is here; a searcher is asked; neither is closed", async () => {
    const { learner, tokenizer, close } = await openPolicy(bundled("nano"), { training: true, concurrency: 128 });
    const closed: string[] = [];
    let queries = 0;
    const counted = (inner: Searcher): Searcher => ({
      info: () => inner.info(),
      search: (asked, how) => {
        queries += asked.length;
        return inner.search(asked, how);
      },
      close: async () => void closed.push("searcher"),
    });
    const questions = {
      train: Array.from({ length: 4 }, (_, i) => ({ id: `${i}`, text: `Who wrote book ${i}?`, gold: [`author ${i}`] })),
      heldOut: [{ id: "h", text: "Who wrote book 9?", gold: ["author 9"] }],
    };
    const searcher = counted(memorySearcher([{ id: "p", title: "Book 1", text: "Author 1 wrote book 1." }]));
    const parts = { recipe, reward, questions, searcher, set: ["rollout.maxTokens=64"] };
    const embedded = await runTraining({ ...parts, out: join(root, "embedded") });
    expect(queries).toBeGreaterThan(0);
    const supplied = { ...learner!, ...boundMethods(learner!), close: async () => void closed.push("learner") };
    const own = await runTraining({ ...parts, learner: supplied, tokenizer, out: join(root, "own") });
    expect(openRun(own.run).suppliedInCode).toEqual(["searcher", "reward", "learner", "questions"]);
    expect(weights(own.run)).toBe(weights(embedded.run));
    expect(closed).toEqual([]);
    await close();
  }, 120_000);

  test("a searcher of its own passages needs questions about them", async () => {
    const run = runTraining({ recipe, searcher: memorySearcher([]), out: join(root, "misfit") });
    await expect(run).rejects.toThrow(/the questions are about the fictional worlds/);
  });

  test("a recipe object with a function in it is refused in words", async () => {
    const odd = { ...recipe, search: { source: () => "world" } } as unknown as RecipeInput;
    await expect(runTraining({ recipe: odd, out: join(root, "odd") })).rejects.toThrow(/holds more than plain values/);
  });
});

/** A spread takes no methods along. */
function boundMethods<T extends object>(of: T): T {
  const names = ["forwardBackward", "optimStep", "logprobs", "publish", "save", "load"] as const;
  return Object.fromEntries(names.map((name) => [name, (of as Record<string, CallableFunction>)[name]!.bind(of)])) as T;
}
