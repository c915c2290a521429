/** @file The tables of docs/results.md from finished runs: the same runs give the same text. */
import { markdownTable } from "../../../src/base/marked-page.ts";
import { worldSplits } from "../../../src/data/world/splits.ts";
import type { EvalSummary } from "../../../src/run/store/evaluation.ts";
import { realTables } from "./real.ts";
import type { LearnRun } from "./runs.ts";
import { type Decoding, decodings, evalOf, meanOver, origin, percentOver, policy, questionsOf } from "./words.ts";

export const tableNames = ["seeds", "ablations", "splits", "real"] as const;
export type TableName = (typeof tableNames)[number];

export const notMeasured = "Not measured yet.";

const types = ["1-hop", "2-hop", "comparison", "3-hop"];
const isAblation = ({ recipe }: LearnRun) => recipe.startsWith("ablations/");

export function tablesOf(runs: readonly LearnRun[]): Record<TableName, string> {
  const real = runs.filter(({ isReal }) => isReal);
  const world = runs.filter(({ isReal }) => !isReal);
  const main = world.filter((run) => !isAblation(run));
  const textOf = (lines: readonly string[]) => lines.join("\n").trimEnd() || notMeasured;
  return {
    seeds: textOf(sections(main, seedTables)),
    ablations: textOf(ablationTable(world)),
    splits: textOf(sections(main, splitTable)),
    real: textOf(sections(real, realTables)),
  };
}

/** One for each recipe, where there is something to say of it. */
function sections(runs: readonly LearnRun[], lines: (runs: readonly LearnRun[]) => string[]): string[] {
  return [...new Set(runs.map(({ recipe }) => recipe))].flatMap((recipe) => {
    const own = lines(runs.filter((run) => run.recipe === recipe));
    return own.length === 0 ? [] : [`### ${recipe}`, "", ...own, ""];
  });
}

function seedTables(runs: readonly LearnRun[]): string[] {
  const { stages } = runs[0]!;
  const ends = stages.flatMap((name) => [`${policy(name)}, greedy`, "sampled"]);
  return [
    `${spread(runs)}, in per cent but for searches; ${questionsOf(runs)} questions of two unseen worlds.`,
    "",
    ...markdownTable(
      ["policy", "decoding", "EM", ...typesOf(runs), "search rate", "searches", "format"],
      ["base", ...stages].flatMap((checkpoint) => decodings.map((decode) => meanRow(runs, checkpoint, decode))),
    ),
    "",
    "Every run: exact match in per cent, minutes of sampling, learning, evaluating and saving, and the largest memory at the end of a step.",
    "",
    ...markdownTable(["seed", ...ends, "2-hop, greedy", "minutes", "memory"], runs.map(seedRow)),
    "",
    origin(runs),
  ];
}

function meanRow(runs: readonly LearnRun[], checkpoint: string, decode: Decoding): string[] {
  const all = runs.flatMap((run) => evalOf(run, checkpoint, decode) ?? []);
  const over = (value: (summary: EvalSummary) => number | undefined) => percentOver(all.map(value));
  return [
    policy(checkpoint),
    decode,
    over(({ em }) => em),
    ...typesOf(runs).map((type) => over(({ byType }) => byType[type])),
    over(({ searchRate }) => searchRate),
    meanOver(
      all.map(({ searches }) => searches),
      2,
    ),
    over(({ formatRate }) => formatRate),
  ];
}

function seedRow(run: LearnRun): string[] {
  const ems = run.stages.flatMap((stage) => decodings.map((decode) => percentOver([evalOf(run, stage, decode)?.em])));
  return [
    String(run.seed),
    ...ems,
    percentOver([evalOf(run, run.stages.at(-1)!, "greedy")?.byType["2-hop"]]),
    run.minutes.toFixed(1),
    `${Math.round(run.memoryBytes / 1e6)} MB`,
  ];
}

function ablationTable(all: readonly LearnRun[]): string[] {
  const ablations = all.filter(isAblation);
  if (ablations.length === 0) return [];
  const seeds = new Set(ablations.map(({ seed }) => seed));
  const runs = [...all.filter(({ recipe, seed }) => recipe === "nano" && seeds.has(seed)), ...ablations];
  const shownTypes = typesOf(runs);
  const rows = [...new Set(runs.map(({ recipe }) => recipe))].map((recipe) => {
    const own = runs.filter((run) => run.recipe === recipe);
    const over = (decode: Decoding, value: (summary: EvalSummary) => number | undefined) =>
      percentOver(own.map((run) => optional(evalOf(run, run.stages.at(-1)!, decode), value)));
    return [
      recipe.replace("ablations/", ""),
      own.map(({ seed }) => seed).join(", "),
      over("greedy", ({ em }) => em),
      ...shownTypes.map((type) => over("greedy", ({ byType }) => byType[type])),
      over("greedy", ({ searchRate }) => searchRate),
      over("sampled", ({ em }) => em),
      over("sampled", ({ searchRate }) => searchRate),
    ];
  });
  return [
    `After the last step, in per cent: mean ± standard deviation over the seeds of a row; ${questionsOf(runs)} questions of two unseen worlds. What each recipe asks stands in its first line.`,
    "",
    ...markdownTable(
      ["recipe", "seeds", "greedy EM", ...shownTypes, "search rate", "sampled EM", "sampled search rate"],
      rows,
    ),
    "",
    origin(runs),
  ];
}

function splitTable(runs: readonly LearnRun[]): string[] {
  const measured = runs.filter(({ splits }) => splits.length > 0);
  if (measured.length === 0) return [];
  const splits = worldSplits.filter(
    (split) => split === "iid" || measured.some((run) => run.splits.some((one) => one.split === split)),
  );
  const rows = ["base", ...measured[0]!.stages].map((checkpoint) => [
    policy(checkpoint),
    ...splits.map((split) => {
      const of = (run: LearnRun) =>
        split === "iid"
          ? evalOf(run, checkpoint, "greedy")
          : run.splits.find((one) => one.split === split && one.checkpoint === checkpoint);
      return percentOver(measured.map((run) => of(run)?.em));
    }),
  ]);
  return [
    `Greedy exact match in per cent, ${spread(measured).toLowerCase()}; ${questionsOf(measured)} questions of two unseen worlds for each split. The base is the same for all seeds.`,
    "",
    ...markdownTable(["policy", ...splits.map((split) => (split === "iid" ? "as in training" : split))], rows),
    "",
    origin(measured),
  ];
}

function optional<T, R>(value: T | undefined, read: (value: T) => R): R | undefined {
  return value === undefined ? undefined : read(value);
}

function typesOf(runs: readonly LearnRun[]): string[] {
  return types.filter((type) => runs.some(({ evals }) => evals.some(({ byType }) => byType[type] !== undefined)));
}

function spread(runs: readonly LearnRun[]): string {
  const seeds = runs.map(({ seed }) => seed).join(", ");
  return runs.length === 1
    ? `One run (seed ${seeds})`
    : `Mean ± standard deviation of ${runs.length} runs (seeds ${seeds})`;
}
