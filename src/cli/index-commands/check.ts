import { SearchError } from "../../base/errors.ts";
import { percent } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { describedCommand, jsonOption, rerankHelp } from "../options.ts";
import { createOutput } from "../output.ts";

export function check() {
  return describedCommand(
    "check",
    "Ask an index questions whose passages or answers are known. Exits 1 where the index is dead: nothing found, always the same passage, or recall far too low.",
    "index check my-index --questions hotpotqa.json",
  )
    .argument("<dir>", "index folder")
    .requiredOption(
      "--questions <file>",
      'JSON or JSON lines: {"question", "passages": [ids or titles]}, HotpotQA, MuSiQue, or {"question", "answer"}',
    )
    .option("--rerank <dir>", rerankHelp)
    .addOption(jsonOption())
    .action(async (directory, { questions, rerank, json }) => {
      const output = createOutput({ json });
      const { runIndexCheck } = await import("../../run/run-index-check.ts");
      const health = await untilInterrupted(output, (signal) =>
        runIndexCheck(directory, questions, { rerank, signal }),
      );
      const skipped = health.skipped > 0 ? `; ${health.skipped} of yes or no left out` : "";
      output.say(`${health.n} questions${skipped}`);
      for (const [k, recall] of Object.entries(health.recall)) output.say(`recall@${k.padEnd(3)} ${percent(recall)}`);
      output.say(health.healthy ? "healthy" : `not healthy: ${health.reasons.join("; ")}`);
      output.result(health);
      if (!health.healthy)
        throw new SearchError(`the index fails its check: ${health.reasons.join("; ")}`, {
          hint: "does the corpus hold what these questions ask for, and is the index whole?",
        });
    });
}
