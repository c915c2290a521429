import { createProgressBar } from "../display/live-line.ts";
import { duration } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { assignment, describedCommand, jsonOption } from "../options.ts";
import { createOutput } from "../output.ts";

export function pretrain() {
  return describedCommand(
    "pretrain",
    "Make a small policy from random weights, on documents of fictional worlds; seeded and resumable.",
    "model pretrain recipes/nano-pretrain.yaml --out models/my-nano",
  )
    .argument("<recipe>", "path of a pretraining recipe")
    .requiredOption("--out <dir>", "folder of the new policy")
    .option("--set <key=value>", "overrides a setting of the recipe; repeatable", assignment)
    .option("--resume", "continue the pretraining in the folder")
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
      output.say(`the policy is in ${result.directory}`);
      output.result(result);
    });
}
