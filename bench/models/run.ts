/**
 * @file A real model side by side with PyTorch and transformers, in turn on one machine: a step of training, learning
 * alone, sampling at several widths, memory, and what `model info` had predicted.
 *   npm run bench:models -- --model DIR [--python PYTHON] [--rounds 3] [--questions 8] [--siblings 8]
 *     [--widths 1,16,64] [--max-memory-gb 6] [--gguf FILE] [--json] [--write docs/benchmarks.md]
 * PYTHON needs torch, transformers and safetensors; with --gguf (the model in f32) also llama-cpp-python. What is not
 * there is left out, and said. Every program does the same work: ours samples, the others write what was sampled.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { toJson } from "../../src/base/jsonl.ts";
import { checkMarked, writeMarked } from "../../src/base/marked-page.ts";
import { startPeer } from "../../src/run/bench/peer.ts";
import { benchModels } from "./measure.ts";
import { modelsTable } from "./table.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    python: { type: "string", default: process.env["R1_SEARCHER_PYTHON"] ?? "python3" },
    rounds: { type: "string", default: "3" },
    questions: { type: "string", default: "8" },
    siblings: { type: "string", default: "8" },
    widths: { type: "string", default: "1,16,64" },
    "max-memory-gb": { type: "string", default: "6" },
    gguf: { type: "string" },
    write: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
if (!values.model) throw new Error("--model is missing: a Hugging Face folder of a Llama with a tied head");
const mark = "bench:models";
if (values.write !== undefined) checkMarked(values.write, mark);
const program = "models_peer.py";
const peers = { plain: await startPeer(values.python, program), tuned: await startPeer(values.python, program) };
const directory = mkdtempSync(join(tmpdir(), "r1-searcher-bench-"));
try {
  const result = await benchModels({
    model: values.model,
    peers,
    directory,
    rounds: Number(values.rounds),
    sizes: { questions: Number(values.questions), siblings: Number(values.siblings) },
    widths: values.widths.split(",").map(Number),
    maxMemoryGb: Number(values["max-memory-gb"]),
    gguf: values.gguf,
    say: (text) => void process.stderr.write(`${text}\n`),
  });
  if (values.write !== undefined) writeMarked(values.write, mark, modelsTable(result));
  process.stdout.write(values.json ? `${toJson(result)}\n` : `${modelsTable(result)}\n`);
} finally {
  for (const peer of Object.values(peers)) if (typeof peer !== "string") peer.close();
  rmSync(directory, { recursive: true, force: true });
}
