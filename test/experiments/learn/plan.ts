/** @file What `npm run experiment -- learn` is to run: each recipe with each seed, in a folder of its own; what lies there is looked at first. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { sha256File, writeAtomically } from "../../../src/base/files.ts";
import { loadRecipe } from "../../../src/run/recipe/load-recipe.ts";
import type { Recipe } from "../../../src/run/recipe/recipe.ts";
import { packageFolder } from "../../support/cli-process.ts";
import { differences, type Provenance, provenanceFile, type RunState, readProvenance, stateOf } from "./runs.ts";

export interface PlanOptions {
  readonly recipes: readonly string[];
  readonly seeds: number;
  readonly set: readonly string[];
  readonly jobs: number;
  readonly out: string;
}

export interface PlannedRun {
  readonly provenance: Provenance;
  readonly recipe: Recipe;
  readonly folder: string;
  readonly state: RunState;
  readonly steps: number;
}

/** @throws Error on a folder whose run is of another recipe or began with other weights */
export async function planRuns({ recipes, seeds, set, jobs, out }: PlanOptions): Promise<PlannedRun[]> {
  const [commit, machine] = [commitOf(), machineOf()];
  const planned: PlannedRun[] = [];
  for (const name of recipes) {
    for (let seed = 0; seed < seeds; seed++) {
      const recipe = loadRecipe(name, [...set, `seed=${seed}`]);
      const folder = join(out, `${recipe.name}-${seed}`);
      if (planned.some((other) => other.folder === folder))
        throw new Error(`two recipes are named ${recipe.name}: give each another name, for it names the folder`);
      const weights = await weightsOf(recipe.model);
      const state = stateOf(folder);
      const before = state === "absent" ? undefined : demandSame(folder, recipe, weights);
      const commits = [...new Set([...(before?.commits ?? []), ...(state === "finished" ? [] : [commit])])];
      const provenance = before ? { ...before, commits } : { recipe: name, seed, set, jobs, commits, machine, weights };
      const steps = recipe.stages.reduce((sum, stage) => sum + stage.steps, 0);
      planned.push({ provenance, recipe, folder, state, steps });
    }
  }
  return planned;
}

export function keepProvenance({ folder, provenance }: PlannedRun): void {
  mkdirSync(join(folder, ".."), { recursive: true });
  writeAtomically(provenanceFile(folder), `${JSON.stringify(provenance, undefined, 2)}\n`);
}

function demandSame(folder: string, recipe: Recipe, weights: string): Provenance {
  const remedy = `delete ${folder} to run it anew, or give another folder with --out`;
  const provenance = readProvenance(folder);
  if (!provenance)
    throw new Error(`${provenanceFile(folder)} is missing, so nobody knows what made the run: ${remedy}`);
  const differing = differences(folder, recipe);
  if (differing.length > 0)
    throw new Error(`${folder} holds a run of another recipe (${differing.join("; ")}): ${remedy}`);
  if (provenance.weights !== weights)
    throw new Error(`the run in ${folder} began with other weights than ${recipe.model} holds now: ${remedy}`);
  return provenance;
}

/** SHA-256 over those of all files of weights. */
async function weightsOf(model: string): Promise<string> {
  const files = existsSync(model) ? readdirSync(model).filter((file) => file.endsWith(".safetensors")) : [];
  if (files.length === 0) throw new Error(`${model} holds no weights: give a model folder with --set model=DIR`);
  const hashes = [];
  for (const file of files.sort()) hashes.push(await sha256File(join(model, file)));
  return hashes.join("+");
}

function machineOf(): string {
  return `${cpus()[0]?.model.trim() ?? "unknown processor"}, ${availableParallelism()} cores, Node ${process.versions.node}`;
}

/** The page that the results go to is no change of the code. */
function commitOf(): string {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: packageFolder, encoding: "utf8" }).trim();
  try {
    const isDirty = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/results.md") !== "";
    return `${git("rev-parse", "--short", "HEAD")}${isDirty ? " (dirty)" : ""}`;
  } catch {
    return "unknown"; // a copy without its history
  }
}
