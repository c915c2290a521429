/** @file A run folder for whoever only reads it. Takes no lock and changes nothing, so the run may go on meanwhile. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ConfigError, DataError, messageOf } from "../../base/errors.ts";
import { Recipe } from "../recipe/recipe.ts";
import { type SuppliedPart, suppliedIn, suppliedKey } from "../recipe/supplied-parts.ts";
import { checkpointName, stepsIn } from "./checkpoint-store.ts";
import { readLines } from "./line-file.ts";
import { type SavedEvaluation, type StepLine, savedEvaluations } from "./run-folder.ts";
import { readTrajectories, type SavedAttempt } from "./trajectory-file.ts";

/** What a run has written so far. Every method reads the files again. */
export interface Run {
  readonly directory: string;
  /** With every default. */
  readonly recipe: Recipe;
  /** The parts that a program gave to `train` itself, in place of what the recipe says. */
  readonly suppliedInCode: readonly SuppliedPart[];
  /** One line for each step, by step. */
  metrics(): StepLine[];
  /** Seconds by phase and tokens per second, one line for each step. */
  timing(): StepLine[];
  /** By step; those with scope "full" are of the base policy and of stage ends. */
  evaluations(): SavedEvaluation[];
  /** Steps (from 0) whose attempts are kept, ascending. */
  attemptSteps(): number[];
  /** The attempts of one step, siblings together. @throws DataError where none are kept for it */
  attempts(step: number): SavedAttempt[];
  /** Ascending by the number of steps that made them. Each folder can be given to `openPolicy`. */
  checkpoints(): { readonly step: number; readonly directory: string }[];
}

/** @throws ConfigError where the folder holds no run, DataError where its recipe cannot be read */
export function openRun(directory: string): Run {
  const file = join(directory, "recipe.yaml");
  if (!existsSync(file))
    throw new ConfigError(`${directory} holds no run: there is no recipe.yaml`, {
      hint: "give a folder that `r1-searcher train` or train() wrote",
    });
  const { recipe, suppliedInCode } = readRecipe(file);
  const lines = (name: string) => readLines<StepLine>(join(directory, name)).map(({ value }) => value);
  const trajectories = join(directory, "trajectories");
  const checkpoints = join(directory, "checkpoints");
  return {
    directory,
    recipe,
    suppliedInCode,
    metrics: () => lines("metrics.jsonl"),
    timing: () => lines("timing.jsonl"),
    evaluations: () => savedEvaluations(join(directory, "evals")),
    attemptSteps: () => (existsSync(trajectories) ? attemptSteps(trajectories) : []),
    attempts: (step) => readTrajectories(join(trajectories, `${checkpointName(step)}.jsonl.gz`)),
    checkpoints: () =>
      stepsIn(checkpoints).map((step) => ({ step, directory: join(checkpoints, checkpointName(step)) })),
  };
}

function readRecipe(file: string): Pick<Run, "recipe" | "suppliedInCode"> {
  try {
    const content = parse(readFileSync(file, "utf8"));
    const { [suppliedKey]: _, ...recipe } = content;
    return { recipe: Recipe.parse(recipe), suppliedInCode: suppliedIn(content) };
  } catch (cause) {
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, {
      hint: "it was written by another version, or changed since",
      cause,
    });
  }
}

function attemptSteps(folder: string): number[] {
  return readdirSync(folder)
    .flatMap((name) => /^step-(\d+)\.jsonl\.gz$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}
