import { Command } from "@commander-js/extra-typings";
import { SearchError } from "../../base/errors.ts";
import { bytes, duration } from "../display/words.ts";
import { describedCommand, jsonOption, wholeNumber } from "../options.ts";
import { createOutput, printable } from "../output.ts";

export function command() {
  return new Command("index")
    .description("Build and search a corpus index (BM25).")
    .addCommand(build())
    .addCommand(search());
}

function build() {
  return describedCommand(
    "build",
    "Build an index over a corpus: TSV (id, title, text), JSON lines or JSON.",
    "index build corpus.jsonl --out my-index",
  )
    .argument("<corpus>", "file of passages")
    .requiredOption("--out <dir>", "where the index goes")
    .option("--overwrite", "replace an index that lies there")
    .addOption(jsonOption())
    .action(async (corpus, { out, overwrite = false, json }) => {
      const output = createOutput({ json });
      const { runIndexBuild } = await import("../../run/run-index-build.ts");
      const onProgress = ({ passages }: { passages: number }) => {
        if (passages % 100_000 === 0 && passages > 0) output.say(`${passages} passages …`); // how many come is not known
      };
      const report = await runIndexBuild(corpus, out, { overwrite, onProgress });
      output.say(
        `${report.passages} passages, ${bytes(report.bytes)}, in ${duration(report.seconds)}: ${printable(out)}`,
      );
      output.result(report);
    });
}

function search() {
  return describedCommand("search", "Search an index.", 'index search my-index "who wrote Emma" -k 3')
    .argument("<dir>", "index folder")
    .argument("<query>", "words to look for")
    .option("-k, --k <n>", "passages to return", wholeNumber(1), 5)
    .addOption(jsonOption())
    .action(async (directory, query, { k, json }) => {
      const output = createOutput({ json });
      const { openIndex } = await import("../../search/bm25/open.ts");
      const searcher = await openIndex(directory);
      const [result] = await searcher.search([query], { k }).finally(() => searcher.close());
      if (!result?.ok) throw new SearchError(result?.error.message ?? "the index gave no result");
      for (const { rank, score, id, title, text } of result.hits) {
        output.say(`${rank}. ${printable(title)}  [${printable(id)}, ${score.toFixed(3)}]\n   ${printable(text)}`);
      }
      if (result.hits.length === 0) output.say("nothing found");
      const hits = result.hits.map(({ id, title, text, score, rank }) => ({ id, title, text, score, rank }));
      output.result({ hits });
    });
}
