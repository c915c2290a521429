/** @file What runs of `npm run experiment -- learn` left in their folders. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { WorldSplit } from "../../../src/data/world/splits.ts";
import type { EvalRow } from "../../../src/eval/evaluate.ts";
import type { Recipe } from "../../../src/run/recipe/recipe.ts";
import type { EvalSummary, ShownAttempt } from "../../../src/run/store/evaluation.ts";
import { readLines } from "../../../src/run/store/line-file.ts";
import { recipeDifferences, type SavedEvaluation, type StepLine } from "../../../src/run/store/run-folder.ts";

/** How a run was begun, kept beside its folder as `<folder>.json`. */
export interface Provenance {
  /** As it was asked for: "nano", "ablations/no-search". */
  readonly recipe: string;
  readonly seed: number;
  /** Settings over the recipe's, besides the seed. */
  readonly set: readonly string[];
  /** Runs at once: they share the machine. */
  readonly jobs: number;
  /** Of the code, whenever the run was begun or resumed. */
  readonly commits: readonly string[];
  readonly machine: string;
  /** SHA-256 of the weights that it started from. */
  readonly weights: string;
}

/** A run that came to its end. */
export interface LearnRun extends Provenance {
  /** Questions of a file rather than of fictional worlds. */
  readonly isReal: boolean;
  readonly stages: readonly string[];
  /** Of the questions of base and stage ends; `checkpoint` is "base" or a stage's name. */
  readonly evals: readonly EvalSummary[];
  /** Greedy, of other splits of the world. */
  readonly splits: readonly (EvalSummary & { readonly split: WorldSplit })[];
  /** Of its steps of training. */
  readonly steps: readonly StepLine[];
  /** How it wrote to the first question, at base and stage ends. */
  readonly examples: readonly (Pick<EvalSummary, "checkpoint" | "decode"> & { readonly attempt: ShownAttempt })[];
  /** Greedy, at the end, to the first questions. */
  readonly answers: readonly Answered[];
  readonly minutes: number;
  /** The largest at the end of any step. */
  readonly memoryBytes: number;
}

export interface Answered {
  readonly id: string;
  readonly queries: readonly string[];
  readonly said: string;
  readonly gold: readonly string[];
  /** Absent where its environment failed. */
  readonly f1: number | undefined;
}

/** Questions of which a page shows what was answered. */
const shownAnswers = 12;

export type RunState = "absent" | "unfinished" | "finished";

export const provenanceFile = (folder: string) => `${folder}.json`;
/** Where a measurement of a checkpoint on a split is kept. */
export const splitFolder = (folder: string, checkpoint: string, split: WorldSplit) =>
  join(folder, "splits", `${checkpoint}--${split}`);

export function stateOf(folder: string): RunState {
  if (!existsSync(join(folder, "recipe.yaml"))) return "absent";
  const { stages } = recipeOf(folder);
  const steps = stages.reduce((sum, stage) => sum + stage.steps, 0);
  const last = readLines<StepLine>(join(folder, "metrics.jsonl")).at(-1)?.value;
  return last?.step === steps && last.stage === undefined ? "finished" : "unfinished";
}

export function stepsDone(folder: string): number {
  return readLines<StepLine>(join(folder, "metrics.jsonl")).filter(({ value }) => value.stage !== undefined).length;
}

/** "key: old → new" where the run in the folder is of another recipe. */
export function differences(folder: string, recipe: Recipe): string[] {
  return recipeDifferences(recipeOf(folder), JSON.parse(JSON.stringify(recipe)));
}

export function readProvenance(folder: string): Provenance | undefined {
  const file = provenanceFile(folder);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Provenance) : undefined;
}

/** All finished runs below `out`, by recipe and seed. */
export function readRuns(out: string): LearnRun[] {
  if (!existsSync(out)) return [];
  return readdirSync(out)
    .filter((entry) => entry.endsWith(".json"))
    .map((entry) => join(out, entry.slice(0, -".json".length)))
    .filter((folder) => stateOf(folder) === "finished")
    .map(readRun)
    .sort((a, b) => (a.recipe < b.recipe ? -1 : a.recipe > b.recipe ? 1 : a.seed - b.seed));
}

function readRun(folder: string): LearnRun {
  const evals = summariesIn<SavedEvaluation>(join(folder, "evals")).map(({ content }) => content);
  const full = evals.filter(({ scope }) => scope === "full").sort((a, b) => a.step - b.step);
  const stages = recipeOf(folder).stages.map(({ name }) => name);
  const timing = readLines<Record<string, unknown>>(join(folder, "timing.jsonl")).map(({ value }) => value);
  return {
    ...readProvenance(folder)!,
    isReal: recipeOf(folder).data?.source === "file",
    stages,
    evals: full.map(({ summary }) => summary),
    steps: readLines<StepLine>(join(folder, "metrics.jsonl"))
      .map(({ value }) => value)
      .filter(({ stage }) => stage !== undefined),
    examples: full.flatMap(({ summary: { checkpoint, decode }, example }) =>
      example ? [{ checkpoint, decode, attempt: example }] : [],
    ),
    answers: answersAtEnd(folder, stages.at(-1)!),
    splits: summariesIn<EvalSummary>(join(folder, "splits")).map(({ name, content }) => {
      const [checkpoint, split] = name.split("--") as [string, WorldSplit];
      return { ...content, checkpoint, split };
    }),
    minutes: timing.flatMap((line) => phases.map((phase) => Number(line[phase] ?? 0))).reduce((a, b) => a + b, 0) / 60,
    memoryBytes: Math.max(...timing.map(({ rss_bytes: bytes }) => Number(bytes ?? 0))),
  };
}

function answersAtEnd(folder: string, stage: string): Answered[] {
  const file = join(folder, "evals", `${stage}--full-greedy`, "results.jsonl");
  const rows = readLines<EvalRow>(file).map(({ value }) => value);
  return rows.slice(0, shownAnswers).map(({ id, queries, pred_ans: said, answer: gold, scores }) => {
    return { id, queries, said, gold, f1: scores?.f1 };
  });
}

/** What a line of timing.jsonl holds in seconds; it has counts and milliseconds of search besides. */
const phases = ["publish", "sample", "score", "reference", "learn", "save", "evaluate"] as const;

function recipeOf(folder: string): Recipe {
  return parse(readFileSync(join(folder, "recipe.yaml"), "utf8")) as Recipe;
}

/** Every summary in a folder of measurements; one without was cut short. */
function summariesIn<T>(directory: string): { name: string; content: T }[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .map((name) => ({ name, file: join(directory, name, "summary.json") }))
    .filter(({ file }) => existsSync(file))
    .map(({ name, file }) => ({ name, content: JSON.parse(readFileSync(file, "utf8")) as T }));
}
