import { SearchError } from "../../base/errors.ts";
import { percent } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { describedCommand, jsonOption, rerankHelp, wholeNumber } from "../options.ts";
import { createOutput } from "../output.ts";

export function check() {
  return describedCommand(
    "check",
    "Ask an index questions whose passages or answers are known. Exits 1 where the index is dead: nothing found, always the same passage, or recall far too low.",
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
      "keep the questions that one search answers, as JSON lines: to train on, for others teach little",
    )
    .option("--within <n>", "with --keep: what is wanted stands among so many of the best", wholeNumber(1, 10), 2)
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
      const skipped = health.skipped > 0 ? `; ${health.skipped} of yes or no left out` : "";
      output.say(`${health.n} questions${skipped}`);
      for (const [k, recall] of Object.entries(health.recall)) output.say(`recall@${k.padEnd(3)} ${percent(recall)}`);
      output.say(health.healthy ? "healthy" : `not healthy: ${health.reasons.join("; ")}`);
      if (keep !== undefined) output.say(`${health.kept} questions kept in ${keep}`);
      output.result(health);
      if (!health.healthy)
        throw new SearchError(`the index fails its check: ${health.reasons.join("; ")}`, {
          hint: "does the corpus hold what these questions ask for, and is the index whole?",
        });
    });
}
