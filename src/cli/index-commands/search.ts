import { SearchError } from "../../base/errors.ts";
import { describedCommand, jsonOption, wholeNumber } from "../options.ts";
import { createOutput, printable } from "../output.ts";

export function search() {
  return describedCommand("search", "Search an index.", 'index search my-index "who wrote Emma" -k 3')
    .argument("<dir>", "index folder")
    .argument("<query>", "words to look for")
    .option("-k, --k <n>", "passages to return", wholeNumber(1), 5)
    .addOption(jsonOption())
    .action(async (directory, query, { k, json }) => {
      const output = createOutput({ json });
      const { openIndexFolder } = await import("../../run/search/open-index.ts");
      const searcher = await openIndexFolder(directory);
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
