/**
 * @file Does the embedded engine agree with transformers on random models of every family, and on models named?
 *   PYTHON=python3 npm run experiment -- parity:families [MODEL_DIR…]
 * Twelve models (three families; one key head per query head and grouped; tied and untied; plain, linear and llama3
 * positions; both spellings of config.json) and every folder named: log-probabilities of 256 tokens, every gradient of
 * a PPO loss, 64 greedy tokens, and the log-probabilities of the folder we save once transformers has opened it. Exits 1
 * beyond a bound (log-probabilities of a named model: 1e-3).
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { programOptions } from "../../scripts/program-options.ts";
import type { TrainingSequence } from "../../src/engine/engine.ts";
import { packs, readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { openWeights, type WeightsFile } from "../../src/engine/huggingface/safetensors.ts";
import { LearnerCore } from "../../src/engine/onnx/learner-core.ts";
import { Replica } from "../../src/engine/onnx/replica.ts";
import { byteTokenizer } from "../../src/protocol/byte-tokenizer.ts";
import { createEngine } from "../../src/run/engines/onnx-policy.ts";
import { PolicySettings } from "../../src/run/recipe/policy-settings.ts";
import { idsOf, largestDifference, numbers, ppoWeights, python, relativeDifference } from "./oracle.ts";

const help = `Compares the engine with transformers on twelve random models: log-probabilities, gradients, greedy text and saved
folders. The variable PYTHON names a Python that has torch and transformers (default: python3).

usage: npm run experiment -- parity:families [MODEL_DIR…]
  MODEL_DIR…     Hugging Face folders that are compared too
  --help
`;
const given = programOptions(help, {}, true).positionals.map((folder) => resolve(folder));

const bounds = { logprob: 2e-4, gradient: 1e-4, tie: 1e-3, saved: 2e-4 };
/** A trained model's log-probabilities spread over more digits than a small random one's. */
const named = { ...bounds, logprob: 1e-3, saved: 1e-3 };
const generated = 64;

/** The worst difference over the largest number of its tensor. */
async function gradientDifference(folder: string, oracle: WeightsFile): Promise<number> {
  const config = readModelConfig(folder);
  const replica = new Replica(config, { worker: 0, workers: 1, threads: 1, training: true });
  await replica.loadWeights(folder);
  const { weights, gradients } = replica;
  const learner = new LearnerCore({ config, weights, gradients, threads: 1, limits: { tokens: 512, scored: 4096 } });
  const tokens = await idsOf(oracle, "ids");
  const sequence: TrainingSequence = {
    ...{ tokens, ...ppoWeights(tokens.length) },
    oldLogprobs: await numbers(oracle, "old"),
  };
  await learner.forwardBackward([sequence], { kind: "ppo", clipLow: 0.2, clipHigh: 0.3 });
  let worst = 0;
  for (const { pack, members } of packs(config)) {
    let at = 0;
    for (const { name, shape } of members) {
      const size = shape.reduce((product, n) => product * n, 1);
      const ours = (gradients.get(pack)!.data as Float32Array).subarray(at, at + size);
      at += size;
      const theirs = await numbers(oracle, `gradient.${name}`);
      worst = Math.max(worst, relativeDifference(ours, theirs));
    }
  }
  await learner.close();
  return worst;
}

/** Log-probabilities and greedy tokens as a run would get them, and a folder as a run would save it. */
async function useEngine(folder: string, oracle: WeightsFile, saved: string) {
  const config = readModelConfig(folder);
  const engine = createEngine(
    { directory: folder, config, tokenizer: byteTokenizer([]) },
    {
      ...{ workers: 1, threads: 1, training: false, maxSequences: 2, contextLength: config.contextLength },
      settings: PolicySettings.parse({}),
    },
  );
  try {
    await engine.loadPolicy(folder);
    const [logprobs] = await engine.logprobs([await idsOf(oracle, "ids")]);
    const sampler = await engine.publish();
    const { tokens } = await sampler.sample({
      ...{ tokens: await idsOf(oracle, "prompt"), maxTokens: generated },
      ...{ temperature: 0, topP: 1, topK: 0, stop: { tokens: [], text: [] } },
      key: { seed: 1, step: 0, question: 0, sibling: 0, turn: 0 },
    });
    mkdirSync(saved, { recursive: true });
    await engine.savePolicy(saved);
    return { logprobs: logprobs!, tokens };
  } finally {
    await engine.close();
  }
}

const made = mkdtempSync(join(tmpdir(), "r1-searcher-families-"));
try {
  python("family_oracle.py", "make", made, ...given);
  const names = readdirSync(made).filter((name) => name.endsWith(".safetensors"));
  const rows = [];
  for (const name of names.map((file) => file.replace(/\.safetensors$/, ""))) {
    const oracle = await openWeights(join(made, `${name}.safetensors`));
    const { logprobs, tokens } = await useEngine(join(made, name), oracle, join(made, "saved", name));
    const expected = await numbers(oracle, "greedy");
    const first = expected.findIndex((token, i) => token !== tokens[i]);
    rows.push({
      name,
      logprob: largestDifference(logprobs, await numbers(oracle, "logprob")),
      gradient: await gradientDifference(join(made, name), oracle),
      tie: first < 0 ? 0 : (await numbers(oracle, "gaps"))[first]!,
      logprobs,
    });
    await oracle.close();
  }
  const saved = JSON.parse(python("family_oracle.py", "check", made, join(made, "saved"))) as Record<string, number[]>;
  let isWithin = rows.length === 12 + given.length;
  for (const { name, logprobs, ...row } of rows) {
    const all = { ...row, saved: largestDifference(saved[name] ?? [], logprobs) };
    const bound = given.some((folder) => basename(folder) === name) ? named : bounds;
    const beyond = Object.entries(all).filter(([key, value]) => !(value <= bound[key as keyof typeof bounds]));
    isWithin &&= beyond.length === 0;
    const shown = Object.entries(all).map(([key, value]) => `${key} ${value.toExponential(1)}`);
    console.log(`${beyond.length === 0 ? "ok  " : "FAIL"} ${name.padEnd(30)} ${shown.join("  ")}`);
  }
  console.log(
    `${rows.length} models; bounds ${JSON.stringify(bounds)}; of folders named ${JSON.stringify(named)} (tie: between the top two where greedy text parts)`,
  );
  process.exitCode = isWithin ? 0 : 1;
} finally {
  rmSync(made, { recursive: true, force: true });
}
