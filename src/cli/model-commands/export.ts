import { Option } from "@commander-js/extra-typings";
import { numberFormats } from "../../engine/huggingface/number-format.ts";
import { createProgressBar } from "../display/live-line.ts";
import { bytes } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { adapterHelp, describedCommand, jsonOption, wholeNumber } from "../options.ts";
import { createOutput, printable } from "../output.ts";

export function exportCommand() {
  return describedCommand(
    "export",
    "Write a policy for other programs: a folder that transformers and vLLM can open, or a file for llama.cpp.",
    "model export runs/nano my-policy --dtype bf16",
    "model export runs/nano my-policy.gguf --format gguf --dtype f16",
    "model export DIR merged --adapter my-adapter",
  )
    .argument("<dir>", "model folder, or a run folder (its last checkpoint)")
    .argument("<out>", "new folder, or with gguf a new file")
    .option("--adapter <dir>", `${adapterHelp}; it is merged into the weights`)
    .addOption(
      new Option("--format <kind>", "format of the result").choices(["hf", "gguf"] as const).default("hf" as const),
    )
    .addOption(
      new Option("--dtype <numbers>", "number format of the weights").choices(numberFormats).default("f32" as const),
    )
    .option("--shard-mb <n>", "with hf: maximum size of a file of weights in MB", wholeNumber(1), 5000)
    .addOption(jsonOption())
    .action(async (policy, out, { adapter, format, dtype, shardMb, json }) => {
      const output = createOutput({ json });
      const { exportModel } = await import("../../run/policy/run-model-export.ts");
      const bar = createProgressBar(output, "%");
      const made = await untilInterrupted(
        output,
        (signal) =>
          exportModel({
            ...{ policy, adapter, out, format, dtype, maxShardBytes: shardMb * 1e6, signal },
            warn: (text) => bar.say(printable(text)),
            onProgress: (progress) =>
              bar.update(
                Math.floor((100 * progress.bytes) / progress.total),
                100,
                `${bytes(progress.bytes)} of ${bytes(progress.total)}`,
              ),
          }),
        "\nstopping (press Ctrl-C again to stop at once) …",
      ).finally(bar.end);
      output.say(`${made.format} in ${made.dtype}, ${bytes(made.bytes)}: ${printable(made.out)}`);
      output.result(made);
    });
}
