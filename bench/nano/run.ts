/** @file Speed of a nano step, of sampling and of learning, beside PyTorch where a Python has it. `npm run bench -- --help` */
import { programOptions, wholeNumber } from "../../scripts/program-options.ts";
import { toJson } from "../../src/base/jsonl.ts";
import { checkMarked, writeMarked } from "../../src/base/marked-page.ts";
import { benchTable } from "./report.ts";
import { runBench } from "./run-bench.ts";

const help = `Speed on this machine: a training step of the nano recipe phase by phase, sampling and learning alone, and
memory over many steps. Where a Python has torch, it does the same work in turn.

usage: npm run bench -- [options]
  --python <program>     a Python that has torch (default: $R1_SEARCHER_PYTHON, or python3)
  --no-peer              measure this program alone
  --rounds <n>           measured rounds; their medians are shown (default: 5)
  --memory-steps <n>     steps of the measurement of memory; 0 leaves it out (default: 300)
  --write <page>         puts the table between the marks of this page
  --json                 prints one JSON object in place of the table
  --help

examples:
  npm run bench -- --python venv/bin/python --write docs/benchmarks.md
  npm run bench -- --no-peer --rounds 3 --memory-steps 0
`;

/** Of the place in a page where the numbers go. */
const mark = "bench";

const { values } = programOptions(help, {
  python: { type: "string", default: process.env["R1_SEARCHER_PYTHON"] ?? "python3" },
  "no-peer": { type: "boolean", default: false },
  rounds: { type: "string", default: "5" },
  "memory-steps": { type: "string", default: "300" },
  write: { type: "string" },
  json: { type: "boolean", default: false },
});
if (values.write !== undefined) checkMarked(values.write, mark);
const result = await runBench({
  rounds: wholeNumber("rounds", values.rounds, 1),
  memorySteps: wholeNumber("memory-steps", values["memory-steps"]),
  ...(values["no-peer"] ? {} : { python: values.python }),
  onProgress: (text) => process.stderr.write(`${text}\n`),
});
const table = benchTable(result);
if (values.write !== undefined) writeMarked(values.write, mark, table);
process.stdout.write(`${values.json ? toJson(result) : table}\n`);
