import { availableParallelism } from "node:os";
import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { poolings } from "../../search/dense/encoder-settings.ts";
import { bytes, duration } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { describedCommand, jsonOption, wholeNumber } from "../options.ts";
import { createOutput, printable } from "../output.ts";
import { buildAsAsked } from "./build-as-asked.ts";
import { corpusProgress } from "./progress.ts";

export function build() {
  return describedCommand(
    "build",
    "Build an index of a corpus: TSV, JSON lines, JSON or Parquet, or a folder of documents. A stopped build continues with --resume.",
    "index build corpus.jsonl --out my-index",
    "index build wiki-18.jsonl.gz --out wiki --stem --resume",
    "index build corpus.jsonl --out my-vectors --dense bge-small-en-v1.5",
  )
    .argument("<corpus>", "file of passages, or folder")
    .requiredOption("--out <dir>", "folder of the new index")
    .option("--overwrite", "replace an existing index, and start again")
    .option("--resume", "continue a stopped build; start a new one if there is none")
    .option("--stem", "reduce English words to their stems (Porter): finds more, but names less exactly")
    .option("--k1 <n>", "how fast repeated words saturate", number, 0.9)
    .option("--b <n>", "how much long passages are penalised, 0 to 1", number, 0.4)
    .option("--skip-bad", "skip invalid rows and count them")
    .option("--dense <encoder>", "build a dense index: folder of an ONNX encoder, or http://host/v1?model=NAME")
    .option("--vectors <file>", "with --dense: the corpus's vectors, .npy or FAISS flat, instead of encoding it")
    .addOption(new Option("--pooling <how>", "with --dense: overrides the encoder folder's setting").choices(poolings))
    .option("--query-prefix <text>", "with --dense: text before each query, overrides the encoder folder's setting")
    .option("--passage-prefix <text>", "with --dense: text before each passage, overrides the encoder folder's setting")
    .addOption(threadsOption())
    .addOption(jsonOption())
    .action(async (corpus, { out, json, ...options }) => {
      const output = createOutput({ json });
      const progress = corpusProgress(output);
      const report = await untilInterrupted(output, (signal) =>
        buildAsAsked(corpus, out, { ...options, ...progress.options, signal }),
      ).finally(progress.end);
      progress.sayBadRows(report.badRows);
      output.say(
        `${report.passages} passages, ${bytes(report.bytes)}, in ${duration(report.seconds)}: ${printable(out)}`,
      );
      output.result(report);
    });
}

export const threadsOption = () =>
  new Option("--threads <n>", "processor threads to use")
    .argParser(wholeNumber(1))
    .default(Math.min(6, availableParallelism()), "one per core, at most 6");

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("Give a number.");
  return value;
}
