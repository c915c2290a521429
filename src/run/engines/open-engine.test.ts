import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ConfigError } from "../../base/errors.ts";
import type { OptimSpec } from "../../engine/engine.ts";
import { LoraConfig } from "../../engine/lora-config.ts";
import { writeRemoteReference } from "../../engine/remote-reference.ts";
import { openEngine } from "./open-engine.ts";
import { bundled, type OpenPolicy } from "./open-policy.ts";

const root = mkdtempSync(join(tmpdir(), "open-engine-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const options = { training: true, concurrency: 2 };
const lora = { ...LoraConfig.parse({ rank: 4 }), seed: 1 };
const tokens = Int32Array.of(5, 9, 17, 33, 21, 8);
const adam: OptimSpec = {
  ...{ kind: "adamw", learningRate: 1e-2, beta1: 0.9, beta2: 0.99 },
  ...{ epsilon: 1e-8, weightDecay: 0, maxGradNorm: 0 },
};

function copyOfModel(name: string): string {
  const folder = join(root, name);
  cpSync(bundled("nano"), folder, { recursive: true });
  return folder;
}

/** One update of the policy; its log-probabilities before and after. */
async function learn({ learner }: OpenPolicy) {
  const [before] = await learner!.logprobs([tokens]);
  const zeros = tokens.map(() => 0);
  await learner!.forwardBackward(
    [
      {
        tokens,
        weights: Float32Array.from(tokens, (_, t) => Number(t > 0)),
        advantages: Float32Array.from(zeros),
        oldLogprobs: Float32Array.from(zeros),
      },
    ],
    { kind: "cross-entropy" },
  );
  await learner!.optimStep(adam);
  const [after] = await learner!.logprobs([tokens]);
  expect(after).not.toEqual(before);
  return { before, after };
}

test("a kind of engine whose weights are files refuses a folder that refers to weights elsewhere", async () => {
  const folder = mkdtempSync(join(root, "remote-"));
  writeRemoteReference(folder, { engine: "far", reference: "weights-7" });
  for (const training of [true, false]) {
    const error = await openEngine(folder, { ...options, training, engine: { kind: "onnx" } }).catch((cause) => cause);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(/weights-7.*far/);
    expect(error.hint).toBeTruthy();
  }
});

test("with an adapter the reference is the model below it: it needs no files, and learning does not change it", async () => {
  const folder = copyOfModel("adapted");
  const policy = await openEngine(folder, { ...options, lora });
  try {
    rmSync(folder, { recursive: true });
    const reference = await policy.reference!();
    const { before } = await learn(policy);
    expect(await reference.logprobs([tokens])).toEqual([before]);
  } finally {
    await policy.close();
  }
});

test("without an adapter the reference is a copy, read from the model's files at the first call; learning does not change it", async () => {
  const folder = copyOfModel("whole");
  const policy = await openEngine(folder, options);
  try {
    const { before } = await learn(policy);
    const reference = await policy.reference!();
    expect(await reference.logprobs([tokens])).toEqual([before]);
    rmSync(folder, { recursive: true });
    expect(await (await policy.reference!()).logprobs([tokens])).toEqual([before]); // the same copy
  } finally {
    await policy.close();
  }
});

test("a copy that was never asked for was never read; one that cannot be opened leaves the policy as it was", async () => {
  const folder = copyOfModel("gone");
  const policy = await openEngine(folder, options);
  try {
    rmSync(folder, { recursive: true });
    await learn(policy);
    await expect(policy.reference!()).rejects.toThrow(folder);
    await learn(policy);
  } finally {
    await policy.close();
  }
});
