import { describedCommand, jsonOption } from "../options.ts";
import { createOutput, printable } from "../output.ts";

export function info() {
  return describedCommand(
    "info",
    "Family, shape and size of a model folder; predicted memory and speed on this machine.",
    "model info models/nano",
  )
    .argument("<dir>", "model folder")
    .addOption(jsonOption())
    .action(async (directory, { json }) => {
      const output = createOutput({ json });
      const { modelInfo } = await import("../../run/policy/run-model-info.ts");
      const facts = await modelInfo(directory, {
        onMeasuring: () =>
          output.say("measuring speed: a reduced copy of the model samples and learns for some seconds"),
      });
      for (const [name, value] of Object.entries(facts))
        output.say(`${name.padEnd(16)}${printable(typeof value === "object" ? JSON.stringify(value) : String(value))}`);
      output.say("memory (bytes) and tokensPerSecond are predictions under what `assumed` says, not measurements");
      output.result(facts);
    });
}
