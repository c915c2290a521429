import Table from "cli-table3";
import type { EvalSummary } from "../../run/store/evaluation.ts";
import { percent } from "./words.ts";

const names: Readonly<Record<string, string>> = {
  base: "base",
  "stage-1": "after stage 1",
  "stage-2": "after stage 2",
};

/** One row per measurement: base, after stage 1, after stage 2, each greedy and sampled. */
export function evalTable(evals: readonly EvalSummary[], colour: boolean): string {
  const types = [...new Set(evals.flatMap(({ byType }) => Object.keys(byType)))];
  const table = new Table({
    head: [
      "policy",
      "writes",
      "questions",
      "EM",
      "95 %",
      "F1",
      ...types.map((type) => `EM ${type}`),
      "searched",
      "real query",
      "searches",
      "format",
    ],
    style: colour ? { head: ["bold"], compact: true } : { head: [], border: [], compact: true },
  });
  for (const { checkpoint, decode, n, em, interval95, f1, byType, searches, formatRate, ...rates } of evals) {
    const [low, high] = interval95.map((share) => (100 * share).toFixed(1));
    const shares = [f1, ...types.map((type) => byType[type]), rates.searchRate, rates.realQueryRate].map(percent);
    table.push([
      names[checkpoint] ?? checkpoint,
      decode,
      String(n),
      percent(em),
      `${low}–${high}`,
      ...shares,
      searches.toFixed(2),
      percent(formatRate),
    ]);
  }
  return table.toString();
}
