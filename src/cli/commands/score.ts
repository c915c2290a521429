import { Option } from "@commander-js/extra-typings";
import Table from "cli-table3";
import { readJsonl } from "../../base/jsonl.ts";
import type { RuleReport } from "../../reward/rule-counts.ts";
import { rewardPresets } from "../../reward/stages.ts";
import { describedCommand, jsonOption } from "../options.ts";
import { createOutput, type Output } from "../output.ts";

/** A name without a number means its second stage, which judges answers. */
const presets = {
  ...Object.fromEntries((Object.keys(rewardPresets) as (keyof typeof rewardPresets)[]).map((name) => [name, name])),
  paper: "paper/stage-2",
  fixed: "fixed/stage-2",
  shaped: "shaped/stage-2",
} as Readonly<Record<string, keyof typeof rewardPresets>>;

export function command() {
  return describedCommand(
    "score",
    "Every published metric, in per cent, on a file of question / answer / pred_ans rows. With --rules also how often each rule of a reward fires.",
    "score results.jsonl",
    "score results.jsonl --json",
    "score results.jsonl --rules code",
  )
    .argument("<file>", "JSON lines with question, answer (the gold) and pred_ans")
    .addOption(
      new Option(
        "--rules <reward>",
        "count how often each rule of a reward fires, and how often because of documents only; lines need gen_text_store, the whole attempt",
      ).choices(Object.keys(presets).sort()),
    )
    .addOption(jsonOption())
    .action(async (file, { json, rules }) => {
      const output = createOutput({ json });
      const { scoreRow, scoreRows } = await import("../../reward/score.ts");
      const { importRow } = await import("../../reward/import-flat.ts");
      const { countRules } = await import("../../reward/rule-counts.ts");
      const rows = [];
      const attempts = [];
      for await (const { line, value } of readJsonl(file)) {
        rows.push(scoreRow(value, `${file}:${line}`));
        if (rules !== undefined) attempts.push(importRow(value, `${file}:${line}`));
      }
      const scores = scoreRows(rows);
      sayTable(
        output,
        Object.entries(scores).map(([name, value]) => [name, name === "n" ? String(value) : value.toFixed(1)]),
      );
      if (rules === undefined) return output.result(scores);
      const preset = presets[rules]!;
      const report = { preset, ...countRules(attempts, preset) };
      sayRules(output, report);
      output.result({ ...scores, rules: report });
    });
}

function sayRules(
  output: Output,
  { preset, n, meanReward, penalised, penalisedOnDocumentsOnly, rules }: RuleReport & { readonly preset: string },
): void {
  output.say(`\nRules of ${preset}: how often each fired, and how often only because of the documents.`);
  sayTable(
    output,
    rules.map(({ rule, fired, onDocumentsOnly }) => [rule, String(fired), String(onDocumentsOnly)]),
    ["rule", "fired", "on documents only"],
  );
  output.say(
    `Mean reward ${meanReward.toFixed(3)}. ${penalised} of ${n} lost something, ${penalisedOnDocumentsOnly} of them because of documents only.`,
  );
}

function sayTable({ say, colour }: Output, lines: readonly string[][], head: string[] = []): void {
  const style = colour ? { head: ["bold"], compact: true } : { head: [], border: [], compact: true };
  const table = new Table({ head, style });
  table.push(...lines);
  say(table.toString());
}
