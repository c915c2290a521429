/**
 * @file Is what `model info` predicts of speed what the engine then does?
 *   npm run model-info -- MODEL_DIR…
 * Times both in processor time, so that a machine with other work gives the same answer: the sketch, and the whole
 * model with 16 sequences that write, and at updates of 8 sequences of 256 tokens. Exits 1 beyond 25 %.
 */

import { randomOf } from "../../src/base/random.ts";
import { type ModelConfig, readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { byteTokenizer } from "../../src/protocol/byte-tokenizer.ts";
import { layoutFor } from "../../src/run/assemble.ts";
import { median, processorSeconds, trainingBatch } from "../../src/run/bench/rates.ts";
import { predictSpeed } from "../../src/run/model-plan.ts";
import { createEngine } from "../../src/run/policy.ts";
import { PolicySettings } from "../../src/run/policy-settings.ts";

const [sequences, bound] = [16, 0.25];

/** The median of at least three, and of as many as 4 seconds hold: a small model's code is warm only after a second. */
async function steady(rate: () => Promise<number>): Promise<number> {
  const rates: number[] = [];
  const end = performance.now() + 4000;
  while (rates.length < 3 || performance.now() < end) rates.push(await rate());
  return median(rates);
}

async function withEngine<T>(
  directory: string,
  config: ModelConfig,
  training: boolean,
  work: (engine: ReturnType<typeof createEngine>) => Promise<T>,
): Promise<T> {
  const layout = layoutFor(directory, undefined);
  const engine = createEngine(
    { directory, config, tokenizer: byteTokenizer([]) },
    {
      ...{ ...layout, training, maxSequences: Math.ceil(sequences / layout.workers) },
      ...{ contextLength: Math.min(config.contextLength, 1024), settings: PolicySettings.parse({}) },
    },
  );
  try {
    await engine.loadPolicy(directory);
    return await work(engine);
  } finally {
    await engine.close();
  }
}

/** Tokens per processor second, prompts apart. */
function measureSampling(directory: string, config: ModelConfig): Promise<number> {
  const random = randomOf("model-info");
  let step = 0;
  return withEngine(directory, config, false, async (engine) => {
    const write = async (maxTokens: number) => {
      const sampler = await engine.publish();
      step++;
      const limits = { maxTokens, temperature: 1, topP: 1, topK: 0, stop: { tokens: [], text: [] } };
      const one = (question: number) =>
        sampler.sample({
          ...{ ...limits, tokens: Int32Array.from({ length: 32 }, () => random.int(config.vocabSize)) },
          key: { seed: 1, step, question, sibling: 0, turn: 0 },
        });
      return Promise.all(Array.from({ length: sequences }, (_, question) => one(question)));
    };
    await write(8);
    return steady(async () => {
      const short = await processorSeconds(() => write(8));
      return (sequences * 48) / ((await processorSeconds(() => write(56))) - short);
    });
  });
}

function measureLearning(directory: string, config: ModelConfig): Promise<number> {
  const work = { sequences: 8, length: 256 };
  const batch = trainingBatch(config, work);
  const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 } as const;
  return withEngine(directory, config, true, async (engine) => {
    const update = async () => {
      await engine.forwardBackward(batch, { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 });
      await engine.optimStep({ ...optimizer, learningRate: 1e-6 });
    };
    await update();
    return steady(async () => (work.sequences * work.length) / (await processorSeconds(update)));
  });
}

let isWithin = process.argv.length > 2;
for (const directory of process.argv.slice(2)) {
  const config = readModelConfig(directory);
  const assumed = {
    ...{ ...layoutFor(directory, undefined), sequences, context: Math.min(config.contextLength, 1024) },
    ...{ microBatchTokens: 512 },
  };
  const predicted = await predictSpeed(config, assumed, processorSeconds);
  const measured = {
    sample: await measureSampling(directory, config),
    train: await measureLearning(directory, config),
  };
  for (const kind of ["sample", "train"] as const) {
    const ratio = predicted[kind] / measured[kind];
    isWithin &&= Math.abs(ratio - 1) <= bound;
    process.stdout.write(
      `${directory} ${kind}: predicted ${predicted[kind].toFixed(0)}, measured ${measured[kind].toFixed(0)} tokens per processor second (${ratio.toFixed(2)})\n`,
    );
  }
}
process.exitCode = isWithin ? 0 : 1;
