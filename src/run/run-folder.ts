/**
 * @file A run is a folder; everything that watches reads these files. Appends are whole lines, everything else is
 * replaced atomically, and what a crash left behind the newest checkpoint is dropped on resume and made again.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { CheckpointError, ConfigError, messageOf } from "../base/errors.ts";
import { fsyncDirectory, writeAtomically } from "../base/files.ts";
import { toJson } from "../base/jsonl.ts";
import type { EvaluationRequest, StepRecord } from "../rl/parts.ts";
import { checkpointName } from "./checkpoint-store.ts";
import type { EvalSummary, ShownAttempt } from "./run-eval.ts";
import { lockRun } from "./run-lock.ts";
import { writeTrajectories } from "./trajectory-file.ts";

export interface OpenRunOptions {
  /** Resolved and complete; plain JSON values. */
  readonly recipe: Readonly<Record<string, unknown>>;
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

/** Made by `openRun`, which holds the folder's lock until `close`. */
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
  close(): void;
}

/** @throws ConfigError: something else lies there, no `--resume`, another recipe, in use, not writable */
export function openRun(directory: string, { recipe, resume }: OpenRunOptions): RunFolder {
  const entries = prepare(directory);
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
  const lock = lockRun(directory);
  try {
    if (isRun) demandSameRecipe(join(directory, "recipe.yaml"), recipe);
    else writeAtomically(join(directory, "recipe.yaml"), stringify(recipe));
  } catch (cause) {
    lock.release();
    throw cause;
  }
  return new Folder(directory, isRun, lock);
}

/** Makes the folder and proves that it can be written. */
function prepare(directory: string): string[] {
  try {
    mkdirSync(directory, { recursive: true });
    const probe = join(directory, `run.lock.probe-${process.pid}`);
    closeSync(openSync(probe, "w"));
    rmSync(probe);
    return readdirSync(directory);
  } catch (cause) {
    throw new ConfigError(`${directory} cannot be written: ${messageOf(cause)}`, {
      hint: "name another folder with --out",
      cause,
    });
  }
}

function demandSameRecipe(file: string, recipe: Readonly<Record<string, unknown>>): void {
  let old: unknown;
  try {
    old = parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
  const differences = recipeDifferences(old, JSON.parse(toJson(recipe)));
  if (differences.length === 0) return;
  throw new ConfigError(`the recipe differs from that of ${file}: ${differences.join("; ")}`, {
    hint: "resume with the recipe as it was, or start a new run with --out",
  });
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

class Folder implements RunFolder {
  readonly directory: string;
  readonly resumed: boolean;
  readonly checkpoints: string;
  readonly #metricsFile: string;
  readonly #timingFile: string;
  readonly #trajectories: string;
  readonly #evals: string;
  readonly #lock: { release(): void };

  constructor(directory: string, resumed: boolean, lock: { release(): void }) {
    this.directory = directory;
    this.resumed = resumed;
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
    if (attempts.length > 0) writeTrajectories(this.#trajectoryFile(step), attempts);
    append(this.#timingFile, toJson({ ...line, ...timing }));
    append(this.#metricsFile, toJson({ ...line, ...metrics }));
  }

  rewind(step: number): void {
    for (const file of [this.#metricsFile, this.#timingFile]) {
      const kept = readLines(file).filter(({ value }) => value.step < step);
      writeAtomically(file, kept.map(({ text }) => `${text}\n`).join(""));
    }
    for (const entry of readdirSync(this.#trajectories)) {
      const of = /^step-(\d+)\.jsonl\.gz$/.exec(entry)?.[1];
      if (of === undefined || Number(of) >= step) rmSync(join(this.#trajectories, entry), { recursive: true });
    }
    fsyncDirectory(this.#trajectories);
    for (const { directory, saved } of this.#evaluationFolders()) {
      if (saved === undefined || saved.step >= step) rmSync(directory, { recursive: true });
    }
  }

  metrics(): StepLine[] {
    return readLines(this.#metricsFile).map(({ value }) => value);
  }

  saveEvaluation(name: string, evaluation: SavedEvaluation, results: readonly unknown[]): void {
    const directory = join(this.#evals, name);
    mkdirSync(directory, { recursive: true });
    writeAtomically(join(directory, "results.jsonl"), results.map((row) => `${toJson(row)}\n`).join(""));
    writeAtomically(join(directory, "summary.json"), `${toJson(evaluation, 2)}\n`);
  }

  evaluations(): SavedEvaluation[] {
    return this.#evaluationFolders()
      .flatMap(({ saved }) => saved ?? [])
      .sort((a, b) => a.step - b.step);
  }

  /** One without a summary was cut short. */
  #evaluationFolders(): { directory: string; saved: SavedEvaluation | undefined }[] {
    return readdirSync(this.#evals).map((name) => {
      const directory = join(this.#evals, name);
      const file = join(directory, "summary.json");
      return {
        directory,
        saved: existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as SavedEvaluation) : undefined,
      };
    });
  }

  close(): void {
    this.#lock.release();
  }

  #trajectoryFile(step: number): string {
    return join(this.#trajectories, `${checkpointName(step)}.jsonl.gz`);
  }
}

/** One write for the whole line, then fsync: a checkpoint never remembers a step whose record is lost. */
function append(file: string, line: string): void {
  const handle = openSync(file, "a");
  try {
    const bytes = Buffer.from(`${line}\n`);
    for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** A torn last line is as good as never written; a bad one before it is damage. */
function readLines(file: string): { text: string; value: StepLine }[] {
  let content: string;
  try {
    content = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw cause;
  }
  const lines = content.split("\n").slice(0, -1); // what follows the last line end is torn, or nothing
  return lines.flatMap((text, i) => {
    try {
      return [{ text, value: JSON.parse(text) as StepLine }];
    } catch (cause) {
      if (i === lines.length - 1) return [];
      throw new CheckpointError(`${file}:${i + 1} is damaged: ${messageOf(cause)}`, {
        hint: "restore the file from a copy, or remove that line",
        cause,
      });
    }
  });
}
