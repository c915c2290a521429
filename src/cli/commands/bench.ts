import { Option } from "@commander-js/extra-typings";
import { checkMarked, writeMarked } from "../../base/marked-page.ts";
import { describedCommand, jsonOption, wholeNumber } from "../options.ts";
import { createOutput } from "../output.ts";

/** Of the place in a page where the numbers go. */
const MARK = "bench";

export function command() {
  return describedCommand(
    "bench",
    "Speed on this machine: a training step of the nano recipe phase by phase, sampling and learning alone, memory over many steps. In a clone of the repository and with a Python that has torch, the same work is done there in turn.",
    "bench",
    "bench --python venv/bin/python --write docs/benchmarks.md",
    "bench --no-peer --rounds 3 --memory-steps 0",
  )
    .addOption(
      new Option("--python <program>", "a Python that has torch")
        .env("R1_SEARCHER_PYTHON")
        .default("python3" as string),
    )
    .option("--no-peer", "measure this program alone")
    .option("--rounds <n>", "measured rounds; their medians are shown", wholeNumber(1), 5)
    .option("--memory-steps <n>", "steps of the measurement of memory; 0 leaves it out", wholeNumber(0), 300)
    .option("--write <file>", "put the numbers into a Markdown file, between its two bench comments")
    .addOption(jsonOption())
    .action(async ({ python, peer, rounds, memorySteps, write, json }) => {
      const output = createOutput({ json });
      const { runBench } = await import("../../run/bench/run-bench.ts");
      const { benchTable } = await import("../../run/bench/report.ts");
      if (write !== undefined) checkMarked(write, MARK);
      const result = await runBench({
        rounds,
        memorySteps,
        ...(peer ? { python } : {}),
        onProgress: (text) => process.stderr.write(`${text}\n`),
      });
      const table = benchTable(result);
      if (write !== undefined) writeMarked(write, MARK, table);
      output.say(table);
      output.result(result);
    });
}
