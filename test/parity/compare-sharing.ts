/**
 * @file Do sharing prompts, packing and computing layers anew change what a real model learns?
 *   npm run parity:sharing [-- --model DIR] [--batches N] [--threads N]     default: the bundled nano model, 50 batches
 * Every way against every sequence by itself: |Δ loss| and max |Δ gradient| / max |gradient| of each tensor, at most
 * 1e-5. Exits 1 beyond it. A large model holds one gradient for each of six ways.
 */
import { parseArgs } from "node:util";
import type { LossSpec } from "../../src/engine/engine.ts";
import { readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { Replica } from "../../src/engine/onnx/replica.ts";
import { randomBatch, SharingCheck } from "../../src/engine/testing/sharing-checks.ts";
import { bundled } from "../../src/run/assemble.ts";

const bound = 1e-5;
const loss: LossSpec = { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 };

const { values } = parseArgs({
  options: {
    model: { type: "string", default: bundled("nano") },
    batches: { type: "string", default: "50" },
    threads: { type: "string", default: "2" },
  },
});
const config = readModelConfig(values.model);
const replica = new Replica(config, { worker: 0, workers: 1, threads: 1, training: false });
await replica.loadWeights(values.model);
const check = new SharingCheck({ config, weights: replica.weights }, Number(values.threads));
const worst = new Map<string, { loss: number; gradient: number }>();
for (let number = 0; number < Number(values.batches); number++) {
  const batch = randomBatch(number, config.vocabSize, { questions: 2, siblings: 4, prompt: 60, written: 25 });
  for (const [way, { loss: l, gradient: g }] of Object.entries(await check.compare(batch, loss))) {
    const known = worst.get(way) ?? { loss: 0, gradient: 0 };
    worst.set(way, { loss: Math.max(known.loss, l), gradient: Math.max(known.gradient, g) });
  }
  process.stderr.write(`batch ${number + 1} of ${values.batches}\n`);
}
await check.close();
for (const [way, { loss: l, gradient: g }] of worst)
  process.stdout.write(`${way}: loss ${l.toExponential(1)}, gradient ${g.toExponential(1)}\n`);
const holds = worst.size > 0 && [...worst.values()].every((found) => found.loss <= bound && found.gradient <= bound);
process.stdout.write(holds ? `all within ${bound} on ${values.batches} batches\n` : `beyond ${bound}\n`);
process.exitCode = holds ? 0 : 1;
