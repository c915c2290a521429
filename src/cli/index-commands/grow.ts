import type { GrowReport } from "../../search/bm25/grow.ts";
import { bytes, duration } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { describedCommand, jsonOption } from "../options.ts";
import { createOutput, printable } from "../output.ts";
import { threadsOption } from "./build.ts";
import { corpusProgress } from "./progress.ts";

export function append() {
  return describedCommand(
    "append",
    "Add a corpus to an index, all of it or nothing. It uses the index's own analyzer or encoder; ids are not compared with those already there.",
    "index append my-index more.jsonl",
  )
    .argument("<dir>", "index folder")
    .argument("<corpus>", "file of passages, or folder")
    .option("--skip-bad", "skip invalid rows and count them")
    .addOption(threadsOption())
    .addOption(jsonOption())
    .action(async (directory, corpus, { json, ...options }) => {
      const output = createOutput({ json });
      const { runIndexAppend } = await import("../../run/search/run-index-build.ts");
      const progress = corpusProgress(output);
      const report = await untilInterrupted(output, (signal) =>
        runIndexAppend(directory, corpus, { ...options, ...progress.options, signal }),
      ).finally(progress.end);
      progress.sayBadRows(report.badRows);
      output.say(sentence(directory, report));
      output.result(report);
    });
}

export function merge() {
  return describedCommand(
    "merge",
    "Merge the segments of an index, which makes searching faster after many additions. Results stay the same.",
    "index merge my-index",
  )
    .argument("<dir>", "index folder")
    .addOption(jsonOption())
    .action(async (directory, { json }) => {
      const output = createOutput({ json });
      const { runIndexMerge } = await import("../../run/search/run-index-build.ts");
      const report = await untilInterrupted(output, (signal) => runIndexMerge(directory, { signal }));
      output.say(sentence(directory, report));
      output.result(report);
    });
}

function sentence(directory: string, { passages, segments, bytes: size, seconds }: GrowReport): string {
  const parts = segments === 1 ? "1 segment" : `${segments} segments`;
  return `${passages} passages in ${parts}, ${bytes(size)}, in ${duration(seconds)}: ${printable(directory)}`;
}
