import { InvalidArgumentError } from "@commander-js/extra-typings";
import { adapterHelp, describedCommand, jsonOption } from "../options.ts";
import { createOutput } from "../output.ts";

export function logprobs() {
  return describedCommand(
    "logprobs",
    "Natural-log probability of each token after the first, given those before it.",
    "model logprobs models/nano --ids 1,2,3",
    "model logprobs DIR --adapter my-adapter --ids 1,2,3",
  )
    .argument("<dir>", "model folder, or a run folder")
    .option("--adapter <dir>", adapterHelp)
    .requiredOption("--ids <ids>", "token ids, separated by commas", tokenIds)
    .addOption(jsonOption())
    .action(async (directory, { ids, adapter, json }) => {
      const output = createOutput({ json });
      const { modelLogprobs } = await import("../../run/policy/run-logprobs.ts");
      const found = await modelLogprobs(directory, ids, { adapter, warn: output.say });
      for (const [i, logprob] of found.entries()) output.say(`${String(ids[i + 1]).padEnd(8)}${logprob.toFixed(6)}`);
      output.result({ logprobs: found });
    });
}

function tokenIds(text: string): readonly number[] {
  const ids = text.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN));
  if (ids.every(Number.isSafeInteger)) return ids;
  throw new InvalidArgumentError("Write whole numbers separated by commas, for example 1,2,3.");
}
