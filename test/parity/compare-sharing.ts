/**
 * @file Do sharing prompts, packing and computing layers anew change what is learnt?
 *   npm run experiment -- parity:sharing [--batches N] [--model DIR] [--threads N] [--lora]
 * Default: 50 batches, random models of three families. --lora lets an adapter learn, apart and merged in every way.
 * Every way against every sequence by itself: |Δ loss| over its terms, and max |Δ gradient| / max |gradient| of each
 * tensor, at most 1e-5. Exits 1 beyond it. With a checkpoint the bound may lie below its own rounding: "packed" shares
 * nothing and computes nothing anew, so the others are to be held against it. A large one holds six gradients.
 */
import { programOptions } from "../../scripts/program-options.ts";
import { readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { LoraConfig } from "../../src/engine/lora-config.ts";
import { Replica } from "../../src/engine/onnx/replica.ts";
import { adaptModel } from "../../src/engine/testing/adapted-model.ts";
import {
  type Disagreement,
  randomBatch,
  randomModels,
  SharingCheck,
  type SharingModel,
  sharingLosses,
} from "../../src/engine/testing/sharing-checks.ts";

const bound = 1e-5;
const help = `Compares losses and gradients with shared prompts, packed sequences and recomputed layers against those of every
sequence by itself. Fails where they are more than 1e-5 apart.

usage: npm run experiment -- parity:sharing [options]
  --batches <n>     random batches (default: 50)
  --model <dir>     a Hugging Face folder (default: random models of three families)
  --threads <n>     of the engine (default: 1)
  --lora            an adapter learns, merged and apart
  --help
`;
const { values } = programOptions(help, {
  model: { type: "string" },
  batches: { type: "string", default: "50" },
  threads: { type: "string", default: "1" },
  lora: { type: "boolean", default: false },
});

async function checkpoint(directory: string): Promise<SharingModel> {
  const config = readModelConfig(directory);
  const replica = new Replica(config, { worker: 0, workers: 1, threads: 1, training: false });
  await replica.loadWeights(directory);
  return { config, weights: replica.weights };
}

const models = values.model === undefined ? Object.values(randomModels()) : [await checkpoint(values.model)];
const worst = new Map<string, Disagreement>();
for (const [i, given] of models.entries()) {
  const lora = LoraConfig.parse({ rank: 4, alpha: 8 }); // alpha / rank as by default
  const model = values.lora ? { ...given, adapted: await adaptModel(given.config, given.weights, lora) } : given;
  const check = new SharingCheck(model, Number(values.threads));
  for (let number = i; number < Number(values.batches); number += models.length) {
    const batch = randomBatch(number, model.config.vocabSize, { questions: 3, siblings: 4, prompt: 60, written: 25 });
    const found = await check.compare(batch, sharingLosses[number % sharingLosses.length]!);
    for (const [way, { loss, gradient }] of Object.entries(found)) {
      const known = worst.get(way) ?? { loss: 0, gradient: 0 };
      worst.set(way, { loss: Math.max(known.loss, loss), gradient: Math.max(known.gradient, gradient) });
    }
    process.stderr.write(`batch ${number + 1} of ${values.batches}\n`);
  }
  await check.close();
}
for (const [way, { loss, gradient }] of worst)
  process.stdout.write(`${way}: loss ${loss.toExponential(1)}, gradient ${gradient.toExponential(1)}\n`);
const holds = worst.size > 0 && [...worst.values()].every(({ loss, gradient }) => loss <= bound && gradient <= bound);
process.stdout.write(holds ? `all within ${bound} on ${values.batches} batches\n` : `beyond ${bound}\n`);
process.exitCode = holds ? 0 : 1;
