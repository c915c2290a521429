import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  adam,
  crossEntropy,
  type LearningSubject,
  ppo,
  someBatch,
  someRequest,
  someTokens,
} from "../testing/subject.ts";
import { tinyOnnxEngine } from "../testing/tiny-onnx.ts";

const root = mkdtempSync(join(tmpdir(), "pipelining-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Two updates with scores, a sample and a saved folder, on an engine of its own. */
async function work(workers: number, isAwaited: boolean) {
  const folder = mkdtempSync(join(root, "work-"));
  const saved = join(folder, "saved");
  mkdirSync(saved);
  const engine = await tinyOnnxEngine(folder, workers);
  try {
    const subject: LearningSubject = { ...engine, tolerance: 0, overshoot: 0, equalBits: true };
    const { learner } = engine;
    const tapes = [20, 11].map((length) => someTokens(subject, `probe of ${length}`, length));
    const batch = await someBatch(subject);
    const calls: readonly (() => Promise<unknown>)[] = [
      () => learner.forwardBackward(batch.slice(0, 2), crossEntropy),
      () => learner.forwardBackward(batch.slice(2), crossEntropy),
      () => learner.optimStep(adam),
      () => learner.logprobs(tapes),
      () => learner.forwardBackward(batch, ppo),
      () => learner.optimStep({ ...adam, maxGradNorm: 0.1 }),
      () => learner.logprobs(tapes),
      () => learner.save(saved),
      () => learner.publish().then((sampler) => sampler.sample(someRequest(subject, 0))),
    ];
    const results: unknown[] = [];
    if (isAwaited) for (const call of calls) results.push(await call());
    else results.push(...(await Promise.all(calls.map((call) => call()))));
    const files = readdirSync(saved).sort();
    return { results, files: Object.fromEntries(files.map((name) => [name, hashOf(join(saved, name))])) };
  } finally {
    await engine.close();
  }
}

const hashOf = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

test.each([1, 2])("with %i workers, calls that are not awaited give the bits of calls that are", async (workers) => {
  const awaited = await work(workers, true);
  const pipelined = await work(workers, false);
  expect(Object.keys(awaited.files)).toContain("model.safetensors");
  expect(Object.keys(awaited.files).filter((name) => name.startsWith("optimizer-"))).toHaveLength(workers);
  expect(awaited.results[2]).toMatchObject({ applied: true });
  expect(awaited.results[3]).not.toEqual(awaited.results[6]);
  expect(pipelined).toEqual(awaited);
});
