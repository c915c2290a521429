import { SearchError } from "../../base/errors.ts";
import { percent } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { describedCommand, jsonOption, rerankHelp, wholeNumber } from "../options.ts";
import { createOutput } from "../output.ts";

export function check() {
  return describedCommand(
    "check",
    "Ask an index questions whose passages or answers are known. Exits 1 if the index does not work: nothing found, always the same passage, or recall far too low.",
    "index check my-index --questions hotpotqa.json",
    "index check my-index --questions mine.jsonl --keep to-train-on.jsonl",
  )
    .argument("<dir>", "index folder")
    .requiredOption(
      "--questions <file>",
      'JSON or JSON lines: {"question", "passages": [ids or titles]}, HotpotQA, MuSiQue, or {"question", "answer"}',
    )
    .option("--rerank <dir>", rerankHelp)
    .option(
      "--keep <file>",
      "write the questions that one search answers to this file, as JSON lines: questions to train on, because others teach little",
    )
    .option(
      "--within <n>",
      "with --keep: how many of the best passages must include what is wanted",
      wholeNumber(1, 10),
      2,
    )
    .addOption(jsonOption())
    .action(async (directory, { questions, rerank, keep, within, json }) => {
      const output = createOutput({ json });
      const { runIndexCheck } = await import("../../run/search/run-index-check.ts");
      const health = await untilInterrupted(output, (signal) =>
        runIndexCheck(directory, questions, {
          ...{ rerank, signal },
          keep: keep === undefined ? undefined : { file: keep, within },
        }),
      );
      const skipped = health.skipped > 0 ? `; ${health.skipped} yes-or-no questions left out` : "";
      output.say(`${health.n} questions${skipped}`);
      for (const [k, recall] of Object.entries(health.recall)) output.say(`recall@${k.padEnd(3)} ${percent(recall)}`);
      output.say(health.healthy ? "healthy" : `not healthy: ${health.reasons.join("; ")}`);
      if (keep !== undefined) output.say(`${health.kept} questions kept in ${keep}`);
      output.result(health);
      if (!health.healthy)
        throw new SearchError(`the index fails its check: ${health.reasons.join("; ")}`, {
          hint: "does the corpus contain what these questions ask for, and is the index complete?",
        });
    });
}
