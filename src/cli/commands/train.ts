import type { TrainingEvent } from "../../run/train/progress.ts";
import { evalTable } from "../display/eval-table.ts";
import { createLiveLine } from "../display/live-line.ts";
import { reportTraining } from "../display/training-report.ts";
import { untilInterrupted } from "../interrupt.ts";
import { assignment, describedCommand, jsonOption, searchHelp, searchOption, wholeNumber } from "../options.ts";
import { createOutput, printable } from "../output.ts";

export function command() {
  return describedCommand(
    "train",
    "Teach a policy to search: both stages of the recipe, resumable at any time (Ctrl-C or closing the terminal saves).",
    "train nano",
    "train recipes/smollm2-135m.yaml --steps 2 --out runs/try",
    "train nano --resume",
  )
    .argument("[recipe]", "name of a recipe or path of one", "nano")
    .option("--set <key=value>", "overrides a setting of the recipe; repeatable", assignment)
    .option("--steps <n>", "steps of every stage, overrides the recipe", wholeNumber(1))
    .option("--index <dir>", "index to search, overrides the recipe's search")
    .option("--search <url>", searchHelp)
    .option("--out <dir>", "run folder (default: runs/<recipe>)")
    .option("--resume", "continue the run in the folder")
    .addOption(jsonOption())
    .action(async (recipe, { set = [], steps, out, resume = false, json, ...where }) => {
      const output = createOutput({ json });
      const { runTraining } = await import("../../run/train/run-training.ts");
      const live = createLiveLine(output);
      const onEvent = (event: TrainingEvent) => {
        if (event.kind === "step") live.step(event);
        else
          live.say(event.kind === "message" ? printable(event.text) : `\n${evalTable([event.summary], output.colour)}`);
      };
      const options = {
        recipe,
        set: [
          ...set,
          ...Object.entries(searchOption(where) ?? {}).map(([key, value]) => `search.${key}=${JSON.stringify(value)}`),
        ],
        resume,
        onEvent,
        ...(steps ? { steps } : {}),
        ...(out ? { out } : {}),
      };
      const result = await untilInterrupted(output, (signal) => runTraining({ ...options, signal })).finally(live.end);
      reportTraining(output, result);
      output.result({ run: result.run, seconds: result.seconds, evals: result.evals });
    });
}
