/** @file What the parts of the kill test share: one policy, one recipe, one undisturbed run to compare with. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { type CliProcess, packageFolder, startCli } from "../../support/cli-process.ts";
import { compilePackage } from "../../support/compiled-package.ts";
import { compareFolders, filesBelow } from "../../support/same-files.ts";
import { writeTinyPolicy } from "../../support/tiny-policy.ts";

export interface Options {
  readonly seed: number;
  /** SIGKILLs and SIGTERMs of real runs. */
  readonly kills: number;
  readonly stops: number;
  /** Mutated checkpoints. */
  readonly mutations: number;
  /** Crash images of each state of a save. */
  readonly images: number;
  /** What the runs train; default the tiny policy and a recipe of its own. */
  readonly recipe?: string | undefined;
  readonly model?: string | undefined;
}

export interface Context extends Options {
  /** Of this part alone. */
  readonly folder: string;
  readonly progress: (done: number, total: number, what?: string) => void;
  /** A run that nothing disturbed; made once. */
  readonly whole: () => Promise<string>;
  /** A policy that knows nothing. */
  readonly policy: () => string;
  /** The compiled package: it starts in a third of the time of the sources. */
  readonly packaged: () => string;
  /** Trains what the options say into a run folder, from its last checkpoint on. */
  readonly train: (run: string, env?: Readonly<Record<string, string>>) => CliProcess;
}

export interface Part {
  readonly name: string;
  /** For --help. */
  readonly what: string;
  /** @returns counts, for one line; throws where a promise is broken */
  readonly run: (context: Context) => Promise<string>;
}

/** Says why a part cannot run here. */
export class Skipped extends Error {}

export function demand(holds: unknown, complaint: string): asserts holds {
  if (!holds) throw new Error(complaint);
}

/** Everything but what holds the time of day, which is all that two identical runs have apart. */
export const isCompared = (path: string) => path !== "timing.jsonl" && !path.startsWith("tensorboard/");

/** @returns files that are the same, byte for byte */
export function demandSame(expected: string, actual: string, what: string): number {
  const { files, difference } = compareFolders(expected, actual, isCompared);
  demand(difference === undefined, `${what}: ${difference}`);
  return files;
}

/** Ends as it should: by itself, with exit code 0. */
export async function finish(child: CliProcess): Promise<void> {
  const { code, signal, stdout, stderr } = await child.ended;
  demand(code === 0, `train ended with ${code ?? signal}: ${stderr || stdout}`);
}

/** Steps that the metrics of a run hold. */
export function stepsIn(run: string): number {
  const file = join(run, "metrics.jsonl");
  return existsSync(file) ? readFileSync(file, "utf8").split('"stage"').length - 1 : 0;
}

export function checkpointsIn(run: string): string[] {
  const folder = join(run, "checkpoints");
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

export function sharedContext(
  root: string,
  options: Options,
): Pick<Context, "whole" | "policy" | "packaged" | "train"> {
  let made: Promise<string> | undefined;
  let built: string | undefined;
  const packaged = () => (built ??= compilePackage(join(root, "package")));
  const policy = () =>
    existsSync(join(root, "policy")) ? join(root, "policy") : writeTinyPolicy(join(root, "policy"));
  const recipe = () => options.recipe ?? tinyRecipe(root, policy());
  const train: Context["train"] = (run, env) => {
    const model = options.model === undefined ? [] : ["--set", `model=${options.model}`];
    const program = join(packaged(), "bin", "r1-searcher.js");
    return startCli(["train", recipe(), ...model, "--out", run, "--resume"], { program, env });
  };
  const whole = async () => {
    const run = join(root, "whole");
    await finish(train(run));
    demand(filesBelow(run).length > 20, `${run} holds little`);
    demandLearnt(run);
    return run;
  };
  return { policy, packaged, train, whole: () => (made ??= whole()) };
}

/** Of a run that changes nothing, any resume is right. */
function demandLearnt(run: string): void {
  const lines = readFileSync(join(run, "metrics.jsonl"), "utf8").trimEnd().split("\n");
  const learning = lines.filter((line) => (JSON.parse(line) as Record<string, number>)["optim/applied"]! > 0).length;
  demand(learning > lines.length / 2, `${run} learns in ${learning} of ${lines.length} steps: it compares nothing`);
}

/** nano-short in small: two stages of a few steps, in most of which some write a query and some do not. */
function tinyRecipe(root: string, model: string): string {
  const file = join(root, "tiny.yaml");
  const recipe = parse(readFileSync(join(packageFolder, "recipes", "nano-short.yaml"), "utf8"));
  const reward = [{ rule: "retrieval", value: 1 }, { rule: "query-words" }];
  const stages = recipe.stages.map((stage: object, i: number) => ({ ...stage, steps: 8 + 4 * i, reward }));
  mkdirSync(root, { recursive: true });
  const tiny = {
    ...{ ...recipe, name: "tiny", model, stages },
    rolloutBatch: { questions: 4, siblings: 4 },
    engine: { workers: 2, threads: 1 },
    eval: { every: 5, curve: { questions: 3, decode: ["greedy"] }, full: { questions: 3, decode: ["sampled"] } },
    checkpoint: { every: 2, keep: 2 },
  };
  writeFileSync(file, stringify(tiny));
  return file;
}
