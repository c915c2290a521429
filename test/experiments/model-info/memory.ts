/**
 * @file A process that uses a model as `model info` assumes, and then tells the most memory it ever held:
 *   node --import tsx test/experiments/model-info/memory.ts MODEL_DIR eval|lora|full      prints bytes
 * It fills 16 sequences of the assumed length; to train, it learns from two of them whole, and saves. Linux only.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { updateOnce } from "../../../bench/nano/rates.ts";
import { randomOf } from "../../../src/base/random.ts";
import { readModelConfig } from "../../../src/engine/huggingface/model-config.ts";
import { layoutFor } from "../../../src/run/engines/layout.ts";
import { toTheEnd, trainingBatch } from "../../../src/run/engines/measuring.ts";
import { usualAdapter } from "../../../src/run/engines/memory-plan.ts";
import { openPolicy } from "../../../src/run/engines/onnx-policy.ts";
import { PolicySettings } from "../../../src/run/recipe/policy-settings.ts";

const [directory, kind] = process.argv.slice(2);
if (directory === undefined || (kind !== "eval" && kind !== "lora" && kind !== "full"))
  throw new Error("usage: model-memory.ts MODEL_DIR eval|lora|full");
const [sequences, written] = [16, 16];
const config = readModelConfig(directory);
const layout = layoutFor(config);
const length = Math.min(config.contextLength, 1024);
const { engine } = await openPolicy(directory, {
  ...{ ...layout, training: kind !== "eval", contextLength: length, microBatchTokens: 512 },
  settings: PolicySettings.parse({}),
  ...{
    maxSequences: Math.ceil(sequences / layout.workers),
    lora: kind === "lora" ? { ...usualAdapter, seed: 0 } : undefined,
  },
});
const random = randomOf("model-memory");
const sampler = await engine.publish();
const limits = { ...toTheEnd, maxTokens: written };
const one = (question: number) =>
  sampler.sample({
    ...{ ...limits, tokens: Int32Array.from({ length: length - written }, () => random.int(config.vocabSize)) },
    key: { seed: 1, step: 0, question, sibling: 0, turn: 0 },
  });
await Promise.all(Array.from({ length: sequences }, (_, question) => one(question)));
if (kind !== "eval") {
  const batch = trainingBatch(config, { sequences: 2 * layout.workers, length });
  for (let step = 0; step < 2; step++) await updateOnce(engine, batch, 1e-6);
  const folder = mkdtempSync(join(tmpdir(), "r1-searcher-memory-"));
  await engine.save(folder);
  rmSync(folder, { recursive: true, force: true });
}
await engine.close();
const peak = Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
process.stdout.write(`${peak}\n`);
