/**
 * @file Does an adapter learn here as it does in PEFT?
 *   PYTHON=python3 npm run experiment -- parity:lora [MODEL_DIR…]
 * Twelve random models (those of parity:families) and every folder named, with random adapters of several ranks, scales and targets, once
 * merged and once apart: log-probabilities of 256 tokens, those of the model below, every gradient of a PPO loss, the
 * change of every merged matrix by one AdamW step and the log-probabilities after it, and those that PEFT finds in the
 * adapter we then save. Exits 1 beyond a bound.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { programOptions } from "../../scripts/program-options.ts";
import type { LossSpec, OptimSpec } from "../../src/engine/engine.ts";
import { adaptedPacks } from "../../src/engine/huggingface/adapter-packs.ts";
import { readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { readAdapterConfig, writeAdapter } from "../../src/engine/huggingface/peft.ts";
import { openWeights, type WeightsFile } from "../../src/engine/huggingface/safetensors.ts";
import type { LoraShape } from "../../src/engine/lora.ts";
import { LearnerCore } from "../../src/engine/onnx/learner-core.ts";
import { memberViews } from "../../src/engine/onnx/pack-memory.ts";
import { Replica } from "../../src/engine/onnx/replica.ts";
import { idsOf, largestDifference, numbers, ppoWeights, python, relativeDifference } from "./oracle.ts";

const help = `Compares adapters of twelve random models with PEFT, merged and apart: log-probabilities, gradients, one step of
AdamW and saved folders. The variable PYTHON names a Python that has torch, transformers and peft (default: python3).

usage: npm run experiment -- parity:lora [MODEL_DIR…]
  MODEL_DIR…     Hugging Face folders that are compared too
  --help
`;
const given = programOptions(help, {}, true).positionals.map((folder) => resolve(folder));

/** Differences of log-probabilities; gradients and changes over the largest number of their tensor. */
const bounds = { logprob: 2e-4, base: 2e-4, gradient: 1e-4, change: 1e-4, stepped: 2e-4, peft: 2e-4 };
/** A trained model's log-probabilities spread over more digits than a small random one's. */
const named = { ...bounds, logprob: 1e-3, base: 1e-3, stepped: 1e-3, peft: 1e-3 };
type Found = Record<keyof typeof bounds, number>;
const loss: LossSpec = { kind: "ppo", clipLow: 0.2, clipHigh: 0.3 };
/** As STEP of lora_oracle.py. */
const step: OptimSpec = {
  ...{ kind: "adamw", learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 0.1, weightDecay: 0.01, maxGradNorm: 0 },
};

interface Place {
  readonly folder: string;
  readonly oracle: WeightsFile;
  readonly merge: boolean;
}

async function compare({ folder, oracle, merge }: Place) {
  const config = readModelConfig(join(folder, "model"));
  const { baseModel: _, ...shape } = readAdapterConfig(join(folder, "adapter"));
  const lora = { ...shape, merge, seed: 0 };
  const replica = new Replica(config, { worker: 0, workers: 1, threads: 1, training: true, lora });
  await replica.loadWeights(join(folder, "model"));
  const before = await tensors(replica);
  await replica.loadAdapter(join(folder, "adapter"));
  const { weights, base, gradients } = replica;
  const limits = { tokens: 512, scored: 4096 };
  const learner = new LearnerCore({ config, weights, base, gradients, lora, threads: 1, limits });
  const ids = await idsOf(oracle, "ids");
  const scored = async (name: string, options?: { readonly base: boolean }) =>
    largestDifference((await learner.logprobs([ids], options))[0]!, await numbers(oracle, name));

  const found: Partial<Found> = { logprob: await scored("logprob"), base: await scored("base", { base: true }) };
  const old = await numbers(oracle, "old");
  await learner.forwardBackward([{ tokens: ids, ...ppoWeights(ids.length), oldLogprobs: old }], loss);
  found.gradient = await gradientDifference(replica, lora, oracle);
  await replica.applyUpdate(step, 1, 1);
  await replica.adoptWeights();
  const after = await tensors(replica);
  found.change = 0;
  for (const key of oracle.names.filter((name) => name.startsWith("change."))) {
    const [was, is] = [before, after].map((all) => all.get(key.slice("change.".length))!);
    const ours = is!.map((x, i) => x - was![i]!);
    found.change = Math.max(found.change, relativeDifference(ours, await numbers(oracle, key)));
  }
  found.stepped = await scored("stepped");
  const ours = join(folder, "ours");
  mkdirSync(ours, { recursive: true });
  writeAdapter(ours, replica.adapterTensors(), { lora, baseModel: join(folder, "model") });
  const [logprobs] = await learner.logprobs([ids]);
  await learner.close();
  return { found, logprobs: logprobs! };
}

async function tensors(replica: Replica): Promise<Map<string, Float32Array>> {
  return new Map((await replica.tensors()).map(({ name, data }) => [name, data.slice()]));
}

async function gradientDifference(replica: Replica, lora: LoraShape, oracle: WeightsFile): Promise<number> {
  let worst = 0;
  for (const { a, b } of adaptedPacks(replica.config, lora)) {
    for (const pack of [a, b]) {
      const gradient = replica.gradients.get(pack.pack)!.data as Float32Array;
      for (const { name, view } of memberViews(pack, gradient))
        worst = Math.max(worst, relativeDifference(view, await numbers(oracle, `gradient.${name}`)));
    }
  }
  return worst;
}

const made = mkdtempSync(join(tmpdir(), "r1-searcher-lora-"));
try {
  python("lora_oracle.py", "make", made, ...given);
  const names = readdirSync(made)
    .filter((name) => name.endsWith(".safetensors"))
    .map((file) => file.replace(/\.safetensors$/, ""));
  let isWithin = names.length === 12 + given.length;
  for (const merge of [true, false]) {
    const rows = [];
    for (const name of names) {
      const oracle = await openWeights(join(made, `${name}.safetensors`));
      rows.push({ name, ...(await compare({ folder: join(made, name), oracle, merge })) });
      await oracle.close();
    }
    const byPeft = JSON.parse(python("lora_oracle.py", "check", made)) as Record<string, number[]>;
    for (const { name, found, logprobs } of rows) {
      const all = { ...found, peft: largestDifference(byPeft[name] ?? [], logprobs) };
      const limits = given.some((folder) => basename(folder) === name) ? named : bounds;
      const within = Object.entries(limits).every(([key, limit]) => (all[key as keyof Found] ?? Number.NaN) <= limit);
      isWithin &&= within;
      const shown = Object.entries(all).map(([key, value]) => `${key} ${value.toExponential(1)}`);
      console.log(`${within ? "ok  " : "FAIL"} ${name.padEnd(28)} ${merge ? "merged" : "apart "} ${shown.join("  ")}`);
    }
  }
  console.log(
    `${names.length} models, an adapter of each merged and apart; bounds ${JSON.stringify(bounds)}; of folders named ${JSON.stringify(named)}`,
  );
  process.exitCode = isWithin ? 0 : 1;
} finally {
  rmSync(made, { recursive: true, force: true });
}
