import { bytes, duration } from "../display/words.ts";
import { describedCommand, jsonOption } from "../options.ts";
import { createOutput } from "../output.ts";
import { threadsOption } from "./build.ts";

export function plan() {
  return describedCommand(
    "plan",
    "Estimate the disk space, memory and time that an index of a corpus will take, from its first passages.",
    "index plan wiki-18.jsonl.gz",
  )
    .argument("<corpus>", "file of passages, or folder")
    .addOption(threadsOption())
    .addOption(jsonOption())
    .action(async (corpus, { threads, json }) => {
      const output = createOutput({ json });
      const { planIndex } = await import("../../run/search/run-index-plan.ts");
      const plan = await planIndex(corpus, { threads });
      const about = plan.sampled < plan.passages ? "about " : "";
      output.say(`passages   ${about}${plan.passages}`);
      output.say(`disk       ${bytes(plan.diskBytes)}; ${bytes(plan.peakDiskBytes)} while it is built`);
      output.say(`memory     ${bytes(plan.ramBytes)} while it is built, with ${plan.threads} threads`);
      output.say(`time       ${duration(plan.seconds)}`);
      output.say(`Estimated from the first ${plan.sampled} passages, indexed on this machine under its present load.`);
      output.result(plan);
    });
}
