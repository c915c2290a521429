/**
 * @file Is what `model info` predicts of speed and memory what the engine then does?
 *   npm run experiment -- model-info MODEL_DIR…
 * Times both in processor time, so that a machine with other work gives the same answer: the sketch, and the whole
 * model with 16 sequences that write, and at updates of 8 sequences of 256 tokens. Memory is the peak of a process
 * (model-memory.ts) per kind of use, on Linux. Exits 1 beyond 25 %.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { processorSeconds, updateOnce } from "../../bench/nano/rates.ts";
import { programOptions, refuse } from "../../scripts/program-options.ts";
import { ConfigError } from "../../src/base/errors.ts";
import { randomOf } from "../../src/base/random.ts";
import { type ModelConfig, readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { byteTokenizer } from "../../src/protocol/byte-tokenizer.ts";
import { layoutFor } from "../../src/run/engines/layout.ts";
import { median, toTheEnd, trainingBatch } from "../../src/run/engines/measuring.ts";
import { planMemory } from "../../src/run/engines/memory-plan.ts";
import { createEngine } from "../../src/run/engines/onnx-policy.ts";
import { predictSpeed } from "../../src/run/policy/predict-speed.ts";
import { PolicySettings } from "../../src/run/recipe/policy-settings.ts";

const help = `Compares what "model info" predicts of speed and memory with what the engine then does: speed in processor time,
memory by the peak of a process (on Linux). Fails beyond 25 %.

usage: npm run experiment -- model-info MODEL_DIR…
  --help

example:
  npm run experiment -- model-info models/nano
`;
const folders = programOptions(help, {}, true).positionals;
if (folders.length === 0) refuse(new ConfigError("no model folder was named", { hint: "for example models/nano" }));

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
  const layout = layoutFor(config);
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
      const limits = { ...toTheEnd, maxTokens };
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
  return withEngine(directory, config, true, async (engine) => {
    const update = () => updateOnce(engine, batch, 1e-6);
    await update();
    return steady(async () => (work.sequences * work.length) / (await processorSeconds(update)));
  });
}

function measureMemory(directory: string, kind: "eval" | "lora" | "full"): number {
  const script = fileURLToPath(new URL("model-info/memory.ts", import.meta.url));
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--import", "tsx", script, directory, kind], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`model-memory.ts ${kind} failed: ${stderr}`);
  return Number(stdout);
}

let isWithin = true;
function compare(what: string, predicted: number, measured: number, unit: string): void {
  const ratio = predicted / measured;
  isWithin &&= Math.abs(ratio - 1) <= bound;
  const [p, m] = [predicted, measured].map((value) => value.toLocaleString("en", { maximumFractionDigits: 2 }));
  process.stdout.write(`${what}: predicted ${p}, measured ${m} ${unit} (${ratio.toFixed(2)})\n`);
}

for (const directory of folders) {
  const config = readModelConfig(directory);
  const assumed = {
    ...{ ...layoutFor(config), sequences, context: Math.min(config.contextLength, 1024) },
    ...{ microBatchTokens: 512 },
  };
  const predicted = await predictSpeed(config, assumed, processorSeconds);
  const rate = "tokens per processor second";
  compare(`${directory} sample`, predicted.sample, await measureSampling(directory, config), rate);
  compare(`${directory} train`, predicted.train, await measureLearning(directory, config), rate);
  if (process.platform !== "linux") continue;
  const memory = planMemory(config, assumed);
  for (const kind of ["eval", "lora", "full"] as const)
    compare(`${directory} memory, ${kind}`, memory[kind] / 1e9, measureMemory(directory, kind) / 1e9, "GB");
}
process.exitCode = isWithin ? 0 : 1;
