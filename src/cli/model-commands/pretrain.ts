import { createProgressBar } from "../display/live-line.ts";
import { duration } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { assignment, describedCommand, jsonOption } from "../options.ts";
import { createOutput } from "../output.ts";

export function pretrain() {
  return describedCommand(
    "pretrain",
    "Make a small policy from nothing, on documents of fictional worlds; seeded and resumable.",
    "model pretrain recipes/nano-pretrain.yaml --out models/my-nano",
  )
    .argument("<recipe>", "path of a pretraining recipe")
    .requiredOption("--out <dir>", "where the policy goes")
    .option("--set <key=value>", "a setting over the recipe's; repeatable", assignment)
    .option("--resume", "continue what lies in the folder")
    .addOption(jsonOption())
    .action(async (recipe, { out, set = [], resume = false, json }) => {
      const output = createOutput({ json });
      const { runPretrain } = await import("../../run/pretrain/run-pretrain.ts");
      const bar = createProgressBar(output, "steps");
      const result = await untilInterrupted(output, (signal) =>
        runPretrain({
          ...{ recipe, overrides: set, out, resume, signal },
          onProgress: ({ step, steps, loss, tokensPerSecond, etaSeconds, skill }) => {
            const note = [
              `${duration(etaSeconds)} left`,
              `loss ${loss.toFixed(3)}`,
              `${Math.round(tokensPerSecond)} tokens/s`,
            ];
            bar.update(step, steps, note.join(" · "));
            if (skill)
              bar.say(
                `step ${step}: reads ${Object.entries(skill)
                  .map(([kind, share]) => `${kind} ${share.toFixed(2)}`)
                  .join(", ")}`,
              );
          },
        }),
      ).finally(bar.end);
      output.say(`the policy lies in ${result.directory}`);
      output.result(result);
    });
}
