/**
 * @file A run is a folder; everything that watches reads these files. Appends are whole lines, everything else is
 * replaced atomically, and what a crash left behind the newest checkpoint is dropped on resume and made again.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { parse, stringify } from "yaml";
import { CheckpointError, ConfigError, messageOf } from "../../base/errors.ts";
import { fileNameRule, isFileName } from "../../base/file-name.ts";
import { fsyncDirectory, writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import type { EvaluationRequest, StepRecord } from "../../rl/parts.ts";
import { withEngineKind } from "../recipe/engine-settings.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { demandSameSupplied, type SuppliedPart, suppliedIn, suppliedKey } from "../recipe/supplied-parts.ts";
import type { EvalSummary, ShownAttempt } from "../store/evaluation.ts";
import { checkpointName } from "./checkpoint-store.ts";
import { appendLine, readLines } from "./line-file.ts";
import { onDisk } from "./on-disk.ts";
import { lockRun } from "./run-lock.ts";
import { writeTrajectories } from "./trajectory-file.ts";
import { makeWritable } from "./writable-folder.ts";

export interface RunFolderOptions {
  /** Resolved and complete; plain JSON values. */
  readonly recipe: Readonly<Record<string, unknown>>;
  /** The parts that a program gave itself; a run is resumed with the same ones only. */
  readonly supplied?: readonly SuppliedPart[];
  /** Continues a run of the same recipe; where there is none yet, starts it. */
  readonly resume: boolean;
}

export interface StepLine {
  readonly step: number;
  readonly stage?: string;
  readonly [metric: string]: number | string | undefined;
}

/** A measurement of the policy after `step` steps. */
export interface SavedEvaluation {
  readonly step: number;
  readonly scope: EvaluationRequest["scope"];
  readonly summary: EvalSummary;
  /** One attempt in words. */
  readonly example: ShownAttempt | undefined;
}

/** Made by `openRunFolder`, which holds the folder's lock until `close`. */
export interface RunFolder {
  readonly directory: string;
  /** False in a folder where nothing had been started. */
  readonly resumed: boolean;
  readonly checkpoints: string;
  record(record: StepRecord): void;
  /** Drops every record of `step` and later ones. */
  rewind(step: number): void;
  metrics(): StepLine[];
  /** Keeps it as evals/`name`, over what is there. */
  saveEvaluation(name: string, evaluation: SavedEvaluation, results: readonly unknown[]): void;
  /** All that were saved, by step. */
  evaluations(): SavedEvaluation[];
  /** Lets go of the lock. A new run that has saved nothing is removed. */
  close(): void;
}

/** @throws ConfigError: something else lies there, no `--resume`, another recipe, in use, not writable */
export function openRunFolder(directory: string, { recipe, supplied = [], resume }: RunFolderOptions): RunFolder {
  const removeFolder = makeWritable(directory);
  const entries = readdirSync(directory);
  const isRun = entries.includes("recipe.yaml");
  const isForeign = !isRun && entries.some((entry) => !/^(run\.lock|recipe\.yaml\.tmp)/.test(entry));
  if (isForeign) {
    throw new ConfigError(`${directory} is not empty and holds no run`, { hint: "name another folder with --out" });
  }
  if (isRun && !resume) {
    throw new ConfigError(`${directory} holds a run already`, {
      hint: "continue it with --resume, or name another folder with --out",
    });
  }
  try {
    return onDisk(directory, "begun", () => openLocked(directory, { recipe, supplied, isRun, removeFolder }));
  } catch (cause) {
    removeFolder();
    throw cause;
  }
}

function openLocked(
  directory: string,
  {
    recipe,
    supplied,
    isRun,
    removeFolder,
  }: Required<Omit<RunFolderOptions, "resume">> & { isRun: boolean; removeFolder: () => void },
): RunFolder {
  const lock = lockRun(directory);
  try {
    removeLeftovers(directory);
    const recorded = supplied.length === 0 ? recipe : { ...recipe, [suppliedKey]: supplied };
    if (isRun) demandSameRecipe(join(directory, "recipe.yaml"), recorded);
    else writeAtomically(join(directory, "recipe.yaml"), stringify(recorded));
    return new Folder(directory, { resumed: isRun, lock, removeFolder });
  } catch (cause) {
    if (!isRun) removeLeftovers(directory);
    lock.release();
    throw cause;
  }
}

/** What a process that died, or that the disk refused, was about to put in place. The lock is held. */
function removeLeftovers(directory: string): void {
  const evals = join(directory, "evals");
  const inner = existsSync(evals) ? readdirSync(evals).map((name) => join(evals, name)) : [];
  for (const folder of [directory, join(directory, "trajectories"), ...inner].filter(existsSync)) {
    for (const entry of readdirSync(folder)) {
      if (/\.tmp-\d+$|^run\.lock\.(draft|probe)-\d+$/.test(entry)) rmSync(join(folder, entry), { force: true });
    }
  }
}

function demandSameRecipe(file: string, recipe: Readonly<Record<string, unknown>>): void {
  let old: unknown;
  try {
    old = parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
  demandSameSupplied(`the run of ${file}`, suppliedIn(old), suppliedIn(recipe));
  const differences = recipeDifferences(withEngineKind(old), JSON.parse(toJson(recipe)));
  if (differences.length === 0) return;
  throw new ConfigError(`the recipe differs from that of ${file}: ${differences.join("; ")}`, {
    hint: "resume with the recipe as it was, or start a new run with --out",
  });
}

/** @throws CheckpointError unless the lines are of the steps 0 … `count` − 1, each once and in order */
function demandEveryStep(file: string, lines: readonly { readonly value: StepLine }[], count: number): void {
  const at = lines.findIndex(({ value }, i) => value?.step !== i);
  if (at < 0 && lines.length === count) return;
  const found = at < 0 ? "the file ends" : `line ${at + 1} is of step ${lines[at]!.value?.step ?? "unknown"}`;
  const next = at < 0 ? lines.length : at;
  throw new CheckpointError(
    `${file} lacks the record of step ${next}, before checkpoint ${checkpointName(count)}: ${found}`,
    {
      hint: `restore the file from a copy, or remove the checkpoints behind step ${next}`,
    },
  );
}

/** "key: old → new" for every key that differs. */
export function recipeDifferences(old: unknown, now: unknown): string[] {
  const [before, after] = [flatten(old), flatten(now)];
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((key) => before.get(key) !== after.get(key))
    .map((key) => `${key}: ${before.get(key) ?? "absent"} → ${after.get(key) ?? "absent"}`);
}

function flatten(value: unknown, path = "", into = new Map<string, string>()): Map<string, string> {
  const isGroup = typeof value === "object" && value !== null && Object.keys(value).length > 0;
  if (!isGroup) return into.set(path || "the recipe", toJson(value ?? null));
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) flatten(item, path === "" ? key : `${path}.${key}`, into);
  }
  return into;
}

/** What the run that a checkpoint belongs to says of it; undefined where the folder is no run's checkpoint. */
export function readRunFacts(checkpoint: string) {
  const step = /^step-(\d+)$/.exec(basename(checkpoint))?.[1];
  const run = join(checkpoint, "..", "..");
  const file = join(run, "recipe.yaml");
  if (step === undefined || !existsSync(file)) return undefined;
  return {
    recipe: parse(readFileSync(file, "utf8")) as Recipe,
    step: Number(step),
    metrics: readLines<StepLine>(join(run, "metrics.jsonl")).map(({ value }) => value),
    evaluations: savedEvaluations(join(run, "evals")),
  };
}

/** By step. @param evals the folder of a run's evaluations; it need not exist */
export function savedEvaluations(evals: string): SavedEvaluation[] {
  if (!existsSync(evals)) return [];
  return evaluationFolders(evals)
    .flatMap(({ saved }) => saved ?? [])
    .sort((a, b) => a.step - b.step);
}

/** One without a summary was cut short. */
function evaluationFolders(evals: string): { directory: string; saved: SavedEvaluation | undefined }[] {
  return readdirSync(evals).map((name) => {
    const directory = join(evals, name);
    const file = join(directory, "summary.json");
    const isWhole = existsSync(file);
    return { directory, saved: isWhole ? readSummary(file) : undefined };
  });
}

function readSummary(file: string): SavedEvaluation {
  try {
    const saved = JSON.parse(readFileSync(file, "utf8")) as SavedEvaluation;
    if (Number.isSafeInteger(saved.step)) return saved;
    throw new TypeError("it has no step");
  } catch (cause) {
    throw new CheckpointError(`${file} is damaged: ${messageOf(cause)}`, { hint: "restore it from a copy", cause });
  }
}

class Folder implements RunFolder {
  readonly directory: string;
  readonly resumed: boolean;
  readonly checkpoints: string;
  readonly #metricsFile: string;
  readonly #timingFile: string;
  readonly #trajectories: string;
  readonly #evals: string;
  readonly #lock: { release(): void };
  readonly #removeFolder: () => void;

  constructor(
    directory: string,
    { resumed, lock, removeFolder }: { resumed: boolean; lock: { release(): void }; removeFolder: () => void },
  ) {
    this.directory = directory;
    this.resumed = resumed;
    this.#removeFolder = removeFolder;
    this.checkpoints = join(directory, "checkpoints");
    this.#metricsFile = join(directory, "metrics.jsonl");
    this.#timingFile = join(directory, "timing.jsonl");
    this.#trajectories = join(directory, "trajectories");
    this.#evals = join(directory, "evals");
    this.#lock = lock;
    for (const inner of [this.checkpoints, this.#trajectories, this.#evals]) mkdirSync(inner, { recursive: true });
  }

  record({ step, stage, metrics, timing, attempts }: StepRecord): void {
    const line = { step, ...(stage === undefined ? {} : { stage }) };
    onDisk(`the record of step ${step} in ${this.directory}`, "written", () => {
      if (attempts.length > 0) writeTrajectories(this.#trajectoryFile(step), attempts);
      appendLine(this.#timingFile, toJson({ ...line, ...timing }));
      appendLine(this.#metricsFile, toJson({ ...line, ...metrics }));
    });
  }

  rewind(step: number): void {
    onDisk(this.directory, `taken back to step ${step}`, () => {
      for (const file of [this.#metricsFile, this.#timingFile]) {
        const kept = readLines<StepLine>(file).filter(({ value }) => !(value?.step >= step));
        demandEveryStep(file, kept, step);
        writeAtomically(file, kept.map(({ text }) => `${text}\n`).join(""));
      }
      for (const entry of readdirSync(this.#trajectories)) {
        const of = /^step-(\d+)\.jsonl\.gz$/.exec(entry)?.[1];
        if (of === undefined || Number(of) >= step) rmSync(join(this.#trajectories, entry), { recursive: true });
      }
      fsyncDirectory(this.#trajectories);
      for (const { directory, saved } of evaluationFolders(this.#evals)) {
        if (saved === undefined || saved.step >= step) rmSync(directory, { recursive: true });
      }
    });
  }

  metrics(): StepLine[] {
    return readLines<StepLine>(this.#metricsFile).map(({ value }) => value);
  }

  saveEvaluation(name: string, evaluation: SavedEvaluation, results: readonly unknown[]): void {
    if (!isFileName(name)) throw new CheckpointError(`an evaluation cannot be kept as "${name}": ${fileNameRule}`);
    const directory = join(this.#evals, name);
    onDisk(directory, "written", () => {
      mkdirSync(directory, { recursive: true });
      writeAtomically(join(directory, "results.jsonl"), results.map((row) => `${toJson(row)}\n`).join(""));
      writeAtomically(join(directory, "summary.json"), `${toJson(evaluation, 2)}\n`);
    });
  }

  evaluations(): SavedEvaluation[] {
    return savedEvaluations(this.#evals);
  }

  close(): void {
    removeLeftovers(this.directory);
    const isBegun = this.resumed || existsSync(this.#metricsFile) || readdirSync(this.checkpoints).length > 0;
    const made = [join(this.directory, "recipe.yaml"), this.checkpoints, this.#trajectories, this.#evals];
    if (!isBegun) for (const path of made) rmSync(path, { recursive: true, force: true });
    this.#lock.release();
    if (!isBegun) this.#removeFolder();
  }

  #trajectoryFile(step: number): string {
    return join(this.#trajectories, `${checkpointName(step)}.jsonl.gz`);
  }
}
