/**
 * @file A number that is not finite, put in at every place where one can come in: the update is refused and counted, or
 * the run ends with an error that names the place. Weights and optimiser state stay as they were, bit for bit.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { EngineError } from "../src/base/errors.ts";
import type { LossSpec, OptimSpec, TrainingSequence } from "../src/engine/engine.ts";
import { openWeights, writeSafetensors } from "../src/engine/huggingface/safetensors.ts";
import type { OnnxEngine } from "../src/engine/onnx/engine.ts";
import { adam, someBatch } from "../src/engine/testing/subject.ts";
import { tinyOnnxEngine } from "../src/engine/testing/tiny-onnx.ts";
import type { ScoredAttempt } from "../src/rl/batch.ts";
import { learn } from "../src/rl/learn.ts";
import { config, trajectory } from "../src/rl/testing/tiny-run.ts";

const root = mkdtempSync(join(tmpdir(), "numeric-guards-"));
/** The engine as `beforeAll` leaves it. */
const saved = join(root, "saved");
let engine: OnnxEngine;
let batch: TrainingSequence[];
let close: () => Promise<void>;

beforeAll(async () => {
  const made = await tinyOnnxEngine(root, 2);
  ({ learner: engine, close } = made);
  batch = await someBatch({ ...made, learner: engine, tolerance: 0, overshoot: 0, equalBits: true });
  await engine.forwardBackward(batch, losses["cross-entropy"]!);
  expect((await engine.optimStep(adam)).applied).toBe(true); // the state is not all zero
  mkdirSync(saved);
  await engine.save(saved);
});
afterEach(() => engine.load(saved));
afterAll(async () => {
  await close();
  rmSync(root, { recursive: true, force: true });
});

const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
const ppo = { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 } as const;
const losses: Readonly<Record<string, LossSpec>> = {
  "cross-entropy": { kind: "cross-entropy" },
  ppo,
  "ppo with dual clip": { ...ppo, dualClip: 3 },
  "ppo with k2": { ...ppo, kl: { kind: "k2", coefficient: 0.1 } },
  "ppo with k3": { ...ppo, dualClip: 3, kl: { kind: "k3", coefficient: 0.1 } },
};

/** Everything that a checkpoint would hold. */
async function bits(): Promise<Record<string, string>> {
  const folder = mkdtempSync(join(root, "bits-"));
  await engine.save(folder);
  const files = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "base64")]);
  rmSync(folder, { recursive: true });
  return Object.fromEntries(files);
}

async function changesNothing(work: () => Promise<void>): Promise<void> {
  const before = await bits();
  expect(Object.keys(before).sort()).toEqual([
    "model.safetensors",
    "optimizer-0.safetensors",
    "optimizer-1.safetensors",
  ]);
  await work();
  expect(await bits()).toEqual(before);
}

type Field = "weights" | "advantages" | "oldLogprobs" | "referenceLogprobs";

/** Token 3 of every sequence has a weight. */
function spoilt(field: Field, value: number): TrainingSequence[] {
  return batch.map((one) => {
    const whole = { ...one, referenceLogprobs: one.oldLogprobs.map((old) => old - 0.1) };
    return { ...whole, [field]: whole[field].map((old, t) => (t === 3 ? value : old)) };
  });
}

const fieldsOf = (loss: LossSpec): Field[] =>
  loss.kind === "cross-entropy"
    ? ["weights"]
    : ["weights", "advantages", "oldLogprobs", ...(loss.kl ? (["referenceLogprobs"] as const) : [])];

const inSequences = Object.entries(losses).flatMap(([name, loss]) =>
  fieldsOf(loss).flatMap((field) =>
    bad
      .filter((value) => Number.isNaN(value) || !field.endsWith("Logprobs")) // an infinite ratio is clamped, see below
      .map((value): [string, Field, number, LossSpec] => [name, field, value, loss]),
  ),
);

describe("in a training sequence", () => {
  test.each(inSequences)("%s, %s of one token %d: refused, and no trace is left", (_, field, value, loss) =>
    changesNothing(async () => {
      await engine.forwardBackward(spoilt(field, value), loss);
      expect((await engine.optimStep(adam)).applied).toBe(false);
    }),
  );

  test("the next update after one that was refused is as if that had never been", async () => {
    const after: unknown[] = [];
    for (const poison of [false, true]) {
      if (poison) {
        await engine.forwardBackward(spoilt("oldLogprobs", Number.NaN), ppo);
        await engine.optimStep(adam);
      }
      await engine.forwardBackward(batch, ppo);
      expect((await engine.optimStep(adam)).applied).toBe(true);
      after.push(await bits());
      await engine.load(saved);
    }
    expect(after[1]).toEqual(after[0]);
  });

  test.each([...bad.slice(1), 1e30, -1e30])(
    "a log-probability of %d gives a clamped ratio and a finite update",
    (far) =>
      changesNothing(async () => {
        for (const field of ["oldLogprobs", "referenceLogprobs"] as const) {
          const { loss } = await engine.forwardBackward(spoilt(field, far), losses["ppo with k3"]!);
          expect(Number.isFinite(loss)).toBe(true);
          const { gradNorm } = await engine.optimStep({ ...adam, learningRate: 0 });
          expect(Number.isFinite(gradNorm)).toBe(true);
          await engine.load(saved);
        }
      }),
  );
});

describe("in the numbers of a loss or an optimiser", () => {
  const spoiltLosses: LossSpec[] = [
    { ...ppo, clipLow: Number.NaN },
    { ...ppo, clipHigh: Number.NaN },
    { ...ppo, dualClip: Number.NaN },
    { ...ppo, kl: { kind: "k2", coefficient: Number.NaN } },
    { ...ppo, kl: { kind: "k3", coefficient: Number.POSITIVE_INFINITY } },
  ];
  test.each(spoiltLosses)("%o is refused", (loss) =>
    changesNothing(async () => {
      await engine.forwardBackward(spoilt("referenceLogprobs", -2), loss);
      expect((await engine.optimStep(adam)).applied).toBe(false);
    }),
  );

  const keys = ["learningRate", "beta1", "beta2", "epsilon", "weightDecay", "maxGradNorm", "adamLearningRate"] as const;
  test.each(keys.flatMap((key) => [Number.NaN, Number.POSITIVE_INFINITY].map((value) => [key, value] as const)))(
    "optimizer.%s of %d is an error",
    (key, value) =>
      changesNothing(async () => {
        const spec: OptimSpec = { ...adam, [key]: value };
        await expect(engine.optimStep(spec)).rejects.toThrow(`optimizer.${key} is ${value}`);
      }),
  );
});

describe("in a gradient", () => {
  const huge = () => batch.map((one) => ({ ...one, weights: one.weights.map((weight) => weight * 1e25) }));

  test.each(["adamw", "muon"] as const)("one whose square f32 cannot hold is refused (%s)", (kind) =>
    changesNothing(async () => {
      await engine.forwardBackward(huge(), losses["cross-entropy"]!);
      const { applied, gradNorm } = await engine.optimStep({ ...adam, kind });
      expect([applied, gradNorm > 1e20]).toEqual([false, true]);
    }),
  );

  test("clipping to a norm makes the same gradient harmless", async () => {
    await engine.forwardBackward(huge(), losses["cross-entropy"]!);
    expect((await engine.optimStep({ ...adam, maxGradNorm: 1 })).applied).toBe(true);
  });
});

describe("in weights and optimiser state", () => {
  test("an update that makes them infinite is an error, and they are not saved", async () => {
    await engine.forwardBackward(batch, losses["cross-entropy"]!);
    await expect(engine.optimStep({ ...adam, learningRate: 3e38, weightDecay: 3e38 })).rejects.toThrow(
      /made numbers that are not finite/,
    );
    const folder = mkdtempSync(join(root, "wild-"));
    await expect(engine.save(folder)).rejects.toThrow(EngineError);
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([
    ["model.safetensors", Number.NaN, "weights"],
    ["model.safetensors", Number.POSITIVE_INFINITY, "weights"],
    ["optimizer-0.safetensors", Number.NaN, "an optimiser state"],
    ["optimizer-1.safetensors", Number.NEGATIVE_INFINITY, "an optimiser state"],
  ])("%s with one number %d is not loaded", async (file, value, what) => {
    const folder = mkdtempSync(join(root, "spoilt-"));
    await engine.save(folder);
    await spoilFile(join(folder, file), value);
    await expect(engine.load(folder)).rejects.toThrow(`${folder} holds ${what}`);
  });

  test("a policy whose logits overflow gives no sample, rather than a token of its own choosing", async () => {
    const folder = mkdtempSync(join(root, "overflow-"));
    await engine.save(folder);
    await spoilFile(join(folder, "model.safetensors"), 3e38, /norm/);
    await engine.load(folder);
    const request = { tokens: Int32Array.of(1, 2, 3), maxTokens: 4, temperature: 1, topP: 1, topK: 0 };
    const key = { seed: 0, step: 0, question: 0, sibling: 0, turn: 0 };
    const sampler = await engine.publish();
    const sample = sampler.sample({ ...request, stop: { tokens: [], text: [] }, key });
    await expect(sample).rejects.toThrow(/distribution at position \d+ is not finite/);
  });
});

/** Writes a safetensors file again, with the first number of each tensor replaced, or all of those of that name. */
async function spoilFile(file: string, value: number, whole?: RegExp): Promise<void> {
  const opened = await openWeights(file);
  const tensors = [];
  for (const name of opened.names) {
    const shape = opened.shape(name);
    const data = new Float32Array(shape.reduce((product, n) => product * n, 1));
    await opened.read(name, data);
    if (!whole) data[0] = value;
    else if (whole.test(name)) data.fill(value);
    tensors.push({ name, shape, data });
  }
  const { metadata } = opened;
  await opened.close();
  writeSafetensors(file, tensors, metadata);
}

/** Two words of the policy, two tokens of search, the same words again; as the engine's first published version sampled it. */
function attempt(change: Partial<ScoredAttempt> = {}, logprob = -4): ScoredAttempt {
  return { trajectory: trajectory({ policyVersion: 0, logprob }), advantage: 0.5, ...change };
}

const learning = (attempts: readonly ScoredAttempt[], overrides: Parameters<typeof config>[0] = {}) =>
  learn([attempts], engine, {
    config: config({ stepsPerRollout: 1, ...overrides }),
    policyVersion: 0,
    learningRate: 1e-3,
    refused: 0,
    abandon: () => false,
  });

describe("in what is learnt from", () => {
  const k3 = { kl: { kind: "k3", coefficient: 0.1 } } as const;
  const references = (value: number) => ({ referenceLogprobs: Float32Array.of(0, 0, value, -4, 0, 0, -4, -4) });
  const spoiltAttempts: [what: string, attempt: ScoredAttempt, overrides: Parameters<typeof config>[0]][] = [
    ...bad.map(
      (advantage) => [`an advantage of ${advantage}`, attempt({ advantage }), {}] as [string, ScoredAttempt, object],
    ),
    ["a token's advantage", attempt({ tokenAdvantages: Float64Array.of(1, Number.NaN, 1, 1) }), {}],
    ["a reference log-probability", attempt(references(Number.NaN)), k3],
  ];
  test.each(spoiltAttempts)("%s: refused and counted", (_, spoiltAttempt, overrides) =>
    changesNothing(async () => {
      const whole = overrides?.kl ? attempt(references(-4)) : attempt();
      const learnt = await learning([whole, spoiltAttempt], overrides);
      expect(learnt).toMatchObject({ refused: 1, report: { applied: 0, refused: 1, losses: [], gradNorms: [] } });
    }),
  );

  test.each(bad)("a sampled log-probability of %d: the sampler is broken, and that is said", (value) =>
    changesNothing(() =>
      expect(learning([attempt({}, value)])).rejects.toThrow(/4 of 4 sampled tokens have no finite/),
    ),
  );

  test.each(bad)("the learner's own log-probability of %d is an error where it is asked", (value) =>
    changesNothing(async () => {
      const { logprobs } = engine;
      engine.logprobs = async (rows) => rows.map((row) => new Float32Array(row.length - 1).fill(value));
      const loss = { ...config().loss, truncateRatio: 2 };
      const learnt = learning([attempt()], { loss }).finally(() => {
        engine.logprobs = logprobs;
      });
      await expect(learnt).rejects.toThrow("the policy that learns gives token 2");
    }),
  );
});
