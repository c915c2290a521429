import Table from "cli-table3";
import { readJsonl } from "../../base/jsonl.ts";
import { describedCommand, jsonOption } from "../options.ts";
import { createOutput } from "../output.ts";

export function command() {
  return describedCommand(
    "score",
    "Every published metric, in per cent, on a file of question / answer / pred_ans rows.",
    "score results.jsonl",
    "score results.jsonl --json",
  )
    .argument("<file>", "JSON lines with question, answer (the gold) and pred_ans")
    .addOption(jsonOption())
    .action(async (file, { json }) => {
      const output = createOutput({ json });
      const { scoreRow, scoreRows } = await import("../../reward/score.ts");
      const rows = [];
      for await (const { line, value } of readJsonl(file)) rows.push(scoreRow(value, `${file}:${line}`));
      const scores = scoreRows(rows);
      const table = new Table({ style: output.colour ? { compact: true } : { head: [], border: [], compact: true } });
      for (const [name, value] of Object.entries(scores))
        table.push([name, name === "n" ? String(value) : value.toFixed(1)]);
      output.say(table.toString());
      output.result(scores);
    });
}
