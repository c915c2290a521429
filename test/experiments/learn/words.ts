/** @file Words and tables that the pages of `npm run experiment -- learn` are made of. */
import type { EvalSummary } from "../../../src/run/store/evaluation.ts";
import type { LearnRun } from "./runs.ts";

export const decodings = ["greedy", "sampled"] as const;
export type Decoding = (typeof decodings)[number];

export function evalOf(run: LearnRun, checkpoint: string, decode: Decoding): EvalSummary | undefined {
  return run.evals.find((summary) => summary.checkpoint === checkpoint && summary.decode === decode);
}

export function questionsOf(runs: readonly LearnRun[]): string {
  return distinct(runs.flatMap(({ evals }) => evals.map(({ n, failed }) => String(n + failed)))).join(" or ");
}

export const policy = (checkpoint: string) =>
  checkpoint === "base" ? "base" : `after ${checkpoint.replace("-", " ")}`;

export const percentOver = (shares: readonly (number | undefined)[]) =>
  meanOver(
    shares.map((share) => (share === undefined ? undefined : 100 * share)),
    1,
  );

/** "90.5 ± 0.7"; without a deviation where all values agree or there is one; the deviation is that of a sample. */
export function meanOver(values: readonly (number | undefined)[], digits: number): string {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return "not measured yet";
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  if (known.every((value) => value === known[0])) return mean.toFixed(digits);
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return `${mean.toFixed(digits)} ± ${Math.sqrt(squares / (known.length - 1)).toFixed(digits)}`;
}

/** What repeats these runs, and where and with which code they were made. */
export function origin(runs: readonly LearnRun[]): string {
  const keyOf = ({ set, jobs }: LearnRun) => JSON.stringify([set, jobs]);
  const commands = distinct(runs.map(keyOf)).map((key) => {
    const group = runs.filter((run) => keyOf(run) === key);
    const recipes = distinct(group.map(({ recipe }) => recipe)).join(",");
    const seeds = 1 + Math.max(...group.map(({ seed }) => seed));
    const { set, jobs } = group[0]!;
    const options = [...(jobs > 1 ? [`--jobs ${jobs}`] : []), ...set.map((one) => `--set '${withoutPlace(one)}'`)];
    return `\`npm run experiment -- learn ${[`--recipe ${recipes}`, `--seeds ${seeds}`, ...options].join(" ")}\``;
  });
  const commits = distinct(runs.flatMap((run) => run.commits)).join(", ");
  const machines = distinct(runs.map(({ machine }) => machine)).join("; ");
  return `Command ${commands.join(" and ")}; commit ${commits}; ${machines}.`;
}

/** A page says nothing of the machine's folders: "model=/data/x" becomes "model=DIR". */
const withoutPlace = (setting: string) => setting.replace(/^([^=]+)=\/.*$/s, "$1=DIR");

const distinct = (values: readonly string[]) => [...new Set(values)];
