/** @file Numbers that are not finite in rewards and in what a run writes, and what a run makes of updates that are refused. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EngineError } from "../src/base/errors.ts";
import { uniform } from "../src/base/random.ts";
import type { Learner } from "../src/engine/engine.ts";
import type { OnnxEngine } from "../src/engine/onnx/engine.ts";
import { tinyOnnxEngine } from "../src/engine/testing/tiny-onnx.ts";
import { estimateAdvantages } from "../src/rl/advantage.ts";
import { EstimatorConfig } from "../src/rl/config.ts";
import type { StepRecord, TrainerParts } from "../src/rl/parts.ts";
import { config, TinyLearner, tinyParts, trajectory } from "../src/rl/testing/tiny-run.ts";
import { train } from "../src/rl/training-loop.ts";
import { openRunFolder } from "../src/run/store/run-folder.ts";
import { runKeeper } from "../src/run/store/run-keeper.ts";

const root = mkdtempSync(join(tmpdir(), "numeric-guards-run-"));
let engine: OnnxEngine;
beforeAll(async () => {
  engine = (await tinyOnnxEngine(root, 2)).learner;
});
afterAll(async () => {
  await engine.close();
  rmSync(root, { recursive: true, force: true });
});

const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

describe("in rewards", () => {
  const kinds = ["reinforce++-baseline", "reinforce++", "grpo", "rloo", "dr-grpo"] as const;
  const estimate = (rewards: readonly number[], kind: (typeof kinds)[number], tokenRewards?: Float64Array) =>
    estimateAdvantages(
      [rewards.map((reward) => ({ reward, policyTokens: 2, ...(tokenRewards ? { tokenRewards } : {}) }))],
      EstimatorConfig.parse({ kind }),
    );

  test.each(kinds.flatMap((kind) => bad.map((value) => [kind, value] as const)))(
    "%s: %d is an error",
    (kind, value) => {
      expect(() => estimate([1, value, 0, 0], kind)).toThrow(
        `the reward of question 0, sibling 1 of this step is ${value}`,
      );
      expect(() => estimate([1, 0, 0, 0], kind, Float64Array.of(0, value))).toThrow("a reward that is not finite");
    },
  );

  test.each(kinds)("%s: rewards whose sum is beyond any number give finite advantages or an error", (kind) => {
    try {
      const { values } = estimate([1e308, 1e308, 1e308, -1e308], kind);
      expect(values.flat().every(Number.isFinite)).toBe(true);
    } catch (error) {
      expect(error).toBeInstanceOf(EngineError);
      expect(String(error)).toContain("the advantage of question 0");
    }
  });
});

describe("in what is written", () => {
  const step = (change: Partial<StepRecord>): StepRecord => ({
    step: 0,
    metrics: {},
    timing: {},
    attempts: [],
    ...change,
  });
  const reward = (total: number) => ({ trajectory: trajectory(), reward: { total, parts: [] }, advantage: 0 });
  const open = () => openRunFolder(mkdtempSync(join(root, "run-")), { recipe: {}, resume: false });
  const records: [what: string, record: StepRecord][] = [
    ...bad.map(
      (value) => [`a metric of ${value}`, step({ metrics: { "reward/total": value } })] as [string, StepRecord],
    ),
    ["a time", step({ timing: { sample: Number.NaN } })],
    ["a reward", step({ attempts: [reward(Number.NaN)] })],
    ["an advantage", step({ attempts: [{ ...reward(0), advantage: Number.POSITIVE_INFINITY }] })],
  ];
  test.each(records)("%s: JSON would say null; the line is refused instead", (_, record) => {
    const folder = open();
    expect(() => folder.record(record)).toThrow(/which JSON cannot hold/);
    expect(folder.metrics()).toEqual([]);
    folder.close();
  });

  test("the score in a cursor: the checkpoint is refused", async () => {
    const folder = open();
    const keeper = runKeeper({ folder, learner: engine, keep: 2, warn: () => {} });
    const cursor = { step: 1, refused: 0, rollbacks: 0, trouble: -1, best: { step: 0, score: Number.NaN } };
    await expect(keeper.save(cursor, [])).rejects.toThrow(/which JSON cannot hold/);
    expect(readdirSync(folder.checkpoints)).toEqual([]);
    folder.close();
  });
});

describe("in a run", () => {
  const words = [0, 1, 2, 3];
  const parts = (learner: Learner, overrides: Partial<TrainerParts>): TrainerParts =>
    tinyParts(new TinyLearner(), {
      learner,
      config: config({ evalEvery: 0, checkpointEvery: 2 }),
      evaluate: async () => ({ score: 0, metrics: {} }),
      rollOut: async (questions, { step, sampler: { policyVersion }, rollbacks }) =>
        questions.map((question, b) =>
          words.map((sibling) =>
            trajectory({
              ...{ question, sibling, policyVersion, logprob: -4.5 },
              words: words.map((place) => Math.floor(90 * uniform([step, b, sibling, place, rollbacks]))),
            }),
          ),
        ),
      score: ({ tape, sibling }) => ({ total: (tape.tokens[3]! % 7) + sibling, parts: [] }),
      ...overrides,
    });

  /** The engine, but the updates of these numbers (from 0) meet an advantage that is not a number. */
  function poisoned(updates: readonly number[]): Learner {
    let update = 0;
    return {
      capabilities: engine.capabilities,
      forwardBackward: (batch, loss) =>
        engine.forwardBackward(
          updates.includes(update++)
            ? batch.map((one, i) => (i === 0 ? { ...one, advantages: one.advantages.map(() => Number.NaN) } : one))
            : batch,
          loss,
        ),
      optimStep: (spec) => engine.optimStep(spec),
      logprobs: (rows) => engine.logprobs(rows),
      publish: () => engine.publish(),
      save: (directory) => engine.save(directory),
      load: (directory) => engine.load(directory),
      close: () => engine.close(),
    };
  }

  const newFolder = () => mkdtempSync(join(root, "run-"));

  async function run(updates: readonly number[], { attempts = [] as string[], into = newFolder() } = {}) {
    await engine.loadPolicy(root);
    const folder = openRunFolder(into, { recipe: {}, resume: false });
    const learner = poisoned(updates);
    const made = parts(learner, { keeper: runKeeper({ folder, learner, keep: 9, warn: () => {} }) });
    const rollOut: typeof made.rollOut = (questions, request) => {
      attempts.push(`${request.step}/${request.rollbacks}`);
      return made.rollOut(questions, request);
    };
    try {
      await train({ ...made, rollOut });
      return { folder: folder.directory, metrics: folder.metrics() };
    } finally {
      folder.close();
    }
  }

  const weightsAt = (folder: string, step: number) =>
    ["model.safetensors", "optimizer-0.safetensors", "optimizer-1.safetensors"].map((name) =>
      readFileSync(join(folder, "checkpoints", `step-00000${step}`, name), "base64"),
    );

  test("both updates of a step refused: counted, and no checkpoint is made before one is applied", async () => {
    const { folder, metrics } = await run([6, 7]); // step 3
    expect(metrics.slice(0, 5).map((line) => line["optim/refused"])).toEqual([0, 0, 0, 2, 0]);
    expect(metrics[3]).toMatchObject({ "optim/applied": 0 });
    const kept = ["step-000000", "step-000002", "step-000006", "step-000008", "step-000010"];
    expect(readdirSync(join(folder, "checkpoints"))).toEqual(kept);
    const clean = await run([]);
    expect(weightsAt(folder, 2)).toEqual(weightsAt(clean.folder, 2));
    expect(weightsAt(folder, 6)).not.toEqual(weightsAt(clean.folder, 6));
  });

  test("three in a row: back to the last good checkpoint, with other draws, and on from there", async () => {
    const attempts: string[] = [];
    const { metrics } = await run([6, 7, 8], { attempts });
    expect(attempts).toEqual([
      "0/0",
      "1/0",
      "2/0",
      "3/0",
      "4/0",
      "2/1",
      "3/1",
      "4/1",
      "5/0",
      "6/0",
      "7/0",
      "8/0",
      "9/0",
    ]);
    expect(metrics.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(metrics.map((line) => line["optim/refused"] ?? 0)).toEqual(Array(11).fill(0)); // made again
  });

  test("for ever: the run ends after going back twice, and its checkpoint is the last good one", async () => {
    const forever = Array.from({ length: 99 }, (_, i) => 6 + i);
    const into = newFolder();
    await expect(run(forever, { into })).rejects.toThrow(/3 updates in a row were refused.*going back 2 times/);
    expect(readdirSync(join(into, "checkpoints"))).toEqual(["step-000000", "step-000002"]);
    expect(weightsAt(into, 2)).toEqual(weightsAt((await run([])).folder, 2));
  });
});
