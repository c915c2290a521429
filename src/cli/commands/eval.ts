import { Option } from "@commander-js/extra-typings";
import { ConfigError } from "../../base/errors.ts";
import { type WorldSplit, worldSplits } from "../../data/world/splits.ts";
import type { EvalOptions } from "../../run/evaluate/run-eval.ts";
import { evalTable } from "../display/eval-table.ts";
import { createProgressBar } from "../display/live-line.ts";
import { untilInterrupted } from "../interrupt.ts";
import {
  adapterHelp,
  describedCommand,
  jsonOption,
  measuredSearch,
  promptHelp,
  rerankHelp,
  searchHelp,
  wholeNumber,
} from "../options.ts";
import { createOutput } from "../output.ts";

export function command() {
  return describedCommand(
    "eval",
    "Measure a policy: exact match, F1, searches and format on a benchmark. A run folder means its last checkpoint.",
    "eval runs/nano --benchmark world --world-seed 7 --questions 500",
    "eval runs/nano --benchmark world --split 3-hop",
    "eval models/my-policy --benchmark questions.jsonl --index my-index",
    "eval models/my-policy --benchmark questions.jsonl --search http://127.0.0.1:8000/retrieve --record answers.jsonl",
  )
    .argument("<policy>", "model folder or run folder")
    .requiredOption("--benchmark <name|file>", '"world" (fictional, unseen), or a file of questions')
    .option("--adapter <dir>", adapterHelp)
    .option("--index <dir>", "index to search for a file of questions")
    .option("--search <url>", searchHelp)
    .option("--rerank <dir>", rerankHelp)
    .option("--record <file>", "record the outcome of every query in this file")
    .option("--replay <file>", "answer queries from a recording; no server is asked")
    .option("--search-budget <n>", "maximum number of queries", wholeNumber(0))
    .option("--prompt <name|file>", promptHelp)
    .option("--world-seed <n>", "seed of the fictional world", wholeNumber(0), 1)
    .addOption(
      new Option(
        "--split <name>",
        'for the fictional world: "iid" as in training, "templates" with other wordings, "noisy" with more passages and look-alike names, "3-hop" with one search more',
      )
        .choices(worldSplits)
        .default("iid" as const),
    )
    .option("--questions <n>", "maximum number of questions", wholeNumber(1))
    .addOption(
      new Option("--decode <how>", "how the policy samples")
        .choices(["greedy", "sampled"] as const)
        .default("greedy" as const),
    )
    .option("--seed <n>", "seed of the sampling", wholeNumber(0), 1)
    .option("--out <dir>", "write the summary and every prediction to this folder")
    .addOption(jsonOption())
    .action(measure);
}

interface Settings extends Pick<EvalOptions, "adapter" | "benchmark" | "worldSeed" | "prompt" | "decode" | "seed"> {
  readonly split: WorldSplit;
  readonly questions?: number | undefined;
  readonly out?: string | undefined;
  readonly index?: string | undefined;
  readonly search?: string | undefined;
  readonly rerank?: string | undefined;
  readonly record?: string | undefined;
  readonly replay?: string | undefined;
  readonly searchBudget?: number | undefined;
  readonly json?: boolean | undefined;
}

async function measure(
  policy: string,
  { json = false, questions, out, index, search, rerank, record, replay, searchBudget, ...settings }: Settings,
): Promise<void> {
  const output = createOutput({ json });
  const where = measuredSearch({ index, search, rerank, record, replay, searchBudget });
  if (settings.benchmark !== "world" && where === undefined) {
    throw new ConfigError(`--benchmark ${settings.benchmark} needs --index or --search`, {
      hint: "make an index with `r1-searcher index build CORPUS --out DIR`",
    });
  }
  const { runEval } = await import("../../run/evaluate/run-eval.ts");
  const bar = createProgressBar(output, "questions");
  const options = {
    policy,
    ...settings,
    ...(questions ? { questions } : {}),
    ...(where ? { search: where } : {}),
    ...(out ? { out } : {}),
  };
  const onProgress = ({ done, total, em }: { done: number; total: number; em: number }) =>
    bar.update(done, total, `exact match ${(100 * em).toFixed(1)} %`);
  const summary = await untilInterrupted(output, (signal) => runEval({ ...options, signal, onProgress })).finally(
    bar.end,
  );
  if (summary.split !== undefined && summary.split !== "iid") output.say(`Split: ${summary.split}`);
  output.say(evalTable([summary], output.colour));
  output.result(summary);
}
