/**
 * @file A real model side by side with PyTorch and transformers, in turn on one machine: a step of training, learning
 * alone, sampling at several widths, memory, and what `model info` had predicted. `npm run bench -- models --help`
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programOptions, refuse } from "../../scripts/program-options.ts";
import { ConfigError } from "../../src/base/errors.ts";
import { toJson } from "../../src/base/jsonl.ts";
import { checkMarked, writeMarked } from "../../src/base/marked-page.ts";
import { startPeer } from "../nano/peer.ts";
import { benchRates, benchStep, settingOf } from "./measure.ts";
import { ratesTable, stepTable } from "./table.ts";

const help = `A real model beside PyTorch and transformers, in turn on one machine. All programs do the same work: ours
samples, the others write what was sampled. What is not there is left out, and said.

usage: npm run bench -- models --model DIR [options]
  --model <dir>          a Hugging Face folder of a Llama with a tied head
  --python <program>     has torch, transformers and safetensors; for --gguf also llama-cpp-python
                         (default: $R1_SEARCHER_PYTHON, or python3)
  --parts <step,rates>   step: one of training, and its memory; rates: learning alone, and sampling (default: both)
  --rounds <n>           medians are of so many (default: 3)
  --questions <n>        of a step (default: 8)
  --siblings <n>         attempts at each (default: 8)
  --widths <a,b,…>       sequences sampled at once, for rates (default: 1,16,64)
  --max-memory-gb <n>    engine.maxMemoryGb of ours, for step (default: 6)
  --gguf <file>          the model for llama.cpp, in f32: "r1-searcher model export DIR FILE --format gguf --dtype f32"
  --write <page>         puts the tables between the marks of this page
  --json                 prints numbers in place of tables
  --help

examples:
  npm run bench -- models --model models/smollm2-135m-instruct --python venv/bin/python
  npm run bench -- models --model models/smollm2-135m-instruct --parts rates --rounds 7 --write docs/benchmarks.md
`;

const { values } = programOptions(help, {
  model: { type: "string" },
  python: { type: "string", default: process.env["R1_SEARCHER_PYTHON"] ?? "python3" },
  rounds: { type: "string", default: "3" },
  questions: { type: "string", default: "8" },
  siblings: { type: "string", default: "8" },
  widths: { type: "string", default: "1,16,64" },
  "max-memory-gb": { type: "string", default: "6" },
  gguf: { type: "string" },
  parts: { type: "string", default: "step,rates" },
  write: { type: "string" },
  json: { type: "boolean", default: false },
});
if (!values.model)
  refuse(new ConfigError("--model is missing", { hint: "name a Hugging Face folder of a Llama with a tied head" }));
const parts = values.parts.split(",");
for (const part of parts) {
  if (part !== "step" && part !== "rates")
    refuse(new ConfigError(`--parts names "${part}"`, { hint: "give step, rates, or both with a comma" }));
  if (values.write !== undefined) checkMarked(values.write, `bench:models ${part}`);
}
const program = "models_peer.py";
const peers = { plain: await startPeer(values.python, program), tuned: await startPeer(values.python, program) };
const directory = mkdtempSync(join(tmpdir(), "r1-searcher-bench-"));
try {
  const options = {
    model: values.model,
    peers,
    directory,
    rounds: Number(values.rounds),
    sizes: { questions: Number(values.questions), siblings: Number(values.siblings) },
    widths: values.widths.split(",").map(Number),
    maxMemoryGb: Number(values["max-memory-gb"]),
    gguf: values.gguf,
    say: (text: string) => void process.stderr.write(`${text}\n`),
  };
  const setting = settingOf(options);
  const keep = (part: string, text: string) => {
    if (values.write !== undefined) writeMarked(values.write, `bench:models ${part}`, text);
    if (!values.json) process.stdout.write(`${text}\n\n`);
  };
  const step = parts.includes("step") ? await benchStep(options) : undefined;
  if (step) keep("step", stepTable(step, setting));
  const rates = parts.includes("rates") ? await benchRates(options) : undefined;
  if (rates) keep("rates", ratesTable(rates, setting));
  if (values.json) process.stdout.write(`${toJson({ step, rates, ...setting })}\n`);
} finally {
  for (const peer of Object.values(peers)) if (typeof peer !== "string") peer.close();
  rmSync(directory, { recursive: true, force: true });
}
