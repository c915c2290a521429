/**
 * @file What an adapter costs merged and apart, beside training all weights: processor time of learning, sampling and
 * merging, in turn on one thread, the smallest of several rounds, with weights of all as they are loaded.
 * `npm run bench -- lora --help`
 */
import { programOptions, refuse } from "../../scripts/program-options.ts";
import { ConfigError } from "../../src/base/errors.ts";
import type { LossSpec, TrainingSequence } from "../../src/engine/engine.ts";
import { readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { LoraConfig } from "../../src/engine/lora-config.ts";
import { LearnerCore } from "../../src/engine/onnx/learner-core.ts";
import { Replica } from "../../src/engine/onnx/replica.ts";
import { Decoder } from "../../src/engine/onnx/sampler/decoder.ts";
import { toTheEnd } from "../../src/run/engines/measuring.ts";
import { processorSeconds } from "../nano/rates.ts";

const help = `What an adapter costs merged and apart, beside training all weights: processor seconds of learning, sampling
and merging, one thread each, the least of several rounds.

usage: npm run bench -- lora --model DIR [options]
  --model <dir>   a Hugging Face folder
  --rank <n>      of the adapter (default: 16)
  --rounds <n>    after one that warms up (default: 4)
  --tapes <n>     sequences sampled at once (default: 16)
  --help

example:
  npm run bench -- lora --model models/smollm2-135m-instruct --rank 8
`;

const { values } = programOptions(help, {
  model: { type: "string" },
  rank: { type: "string", default: "16" },
  rounds: { type: "string", default: "4" },
  tapes: { type: "string", default: "16" },
});
if (!values.model) refuse(new ConfigError("--model is missing", { hint: "name a Hugging Face folder" }));
const [directory, tapes] = [values.model, Number(values.tapes)];
const config = readModelConfig(directory);
const [prompt, sampled, length] = [32, 16, 256];
const loss: LossSpec = { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 };
const tokens = (count: number, salt: number) =>
  Int32Array.from({ length: count }, (_, i) => (7919 * i + 31 * salt + 5) % config.vocabSize);
const batch = [0, 1].map(
  (s): TrainingSequence => ({
    tokens: tokens(length, s),
    weights: Float32Array.from({ length }, (_, t) => (t > length / 2 ? 0.01 : 0)),
    advantages: Float32Array.from({ length }, (_, t) => Math.sin(t)),
    oldLogprobs: new Float32Array(length).fill(-6),
  }),
);

async function program(merge: boolean | undefined) {
  const lora = merge === undefined ? undefined : { ...LoraConfig.parse({ rank: Number(values.rank), merge }), seed: 0 };
  const replica = new Replica(config, { worker: 0, workers: 1, threads: 1, training: true, lora });
  await replica.loadWeights(directory);
  const { weights, gradients } = replica;
  const learner = new LearnerCore({
    config,
    weights,
    gradients,
    lora,
    threads: 1,
    limits: { tokens: 512, scored: 340 },
  });
  const decoder = await Decoder.create({
    ...{ config, weights, lora, threads: 1, maxSequences: tapes, contextLength: 128 },
    bytesOf: () => new Uint8Array(),
  });
  let key = 0;
  const sample = async () => {
    let left = tapes;
    for (let i = 0; i < tapes; i++) {
      decoder.submit(
        {
          ...toTheEnd,
          tokens: tokens(prompt, 1),
          maxTokens: sampled,
          key: { seed: 1, step: key, question: 0, sibling: i, turn: 0 },
        },
        () => left--,
      );
    }
    key++;
    while (await decoder.step());
    if (left > 0) throw new Error(`${left} tapes were not sampled`);
    decoder.release();
  };
  const update = { kind: "adamw", learningRate: 0, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0 } as const;
  return {
    learn: () => learner.forwardBackward(batch, loss),
    sample,
    update: async () => {
      await replica.applyUpdate({ ...update, maxGradNorm: 0 }, 1, 1);
      await replica.adoptWeights(); // merges
    },
  };
}

const programs = { "all weights": await program(undefined), merged: await program(true), apart: await program(false) };
const least = new Map<string, number>();
for (let round = 0; round <= Number(values.rounds); round++) {
  for (const [name, works] of Object.entries(programs)) {
    for (const [what, work] of Object.entries(works)) {
      const seconds = await processorSeconds(work as () => Promise<unknown>);
      const key = `${name}, ${what}`;
      if (round > 0) least.set(key, Math.min(least.get(key) ?? Number.POSITIVE_INFINITY, seconds)); // the first warms up
    }
  }
}
console.log(
  `learn: 2 × ${length} tokens, half scored; sample: ${tapes} × ${sampled} after ${prompt}; processor seconds`,
);
for (const [key, seconds] of least) console.log(`${key.padEnd(24)}${seconds.toFixed(3)}`);
