/**
 * @file A run that is killed (SIGKILL) again and again, and resumed each time, must end with the bytes of one that
 * never was: weights, optimiser, metrics, every attempt, every evaluation.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Random, randomOf } from "../../src/base/random.ts";
import { type CliProcess, sleep, startCli } from "./cli-process.ts";
import { compareFolders } from "./same-files.ts";

const help = `Trains a recipe twice, once undisturbed and once killed with SIGKILL at seeded moments and resumed each
time, and compares the two run folders byte for byte. Exit code 1 where they differ.

usage: npm run kill-resume -- [options]
  --recipe <file>  what to train (default: recipes/nano-short.yaml)
  --model <dir>    the policy to start from (default: the recipe's own)
  --out <dir>      where the two runs go (default: a new temporary folder)
  --kills <n>      how often (default: 10)
  --seed <n>       of the moments (default: 1)
  --help
`;

interface Options {
  readonly recipe: string;
  readonly model: string | undefined;
  readonly out: string;
  readonly kills: number;
  readonly seed: number;
}

/** When a run is killed: `delay` milliseconds after it has come to `step`, or there to the next checkpoint. */
interface Moment {
  readonly step: number;
  readonly at: "launch" | "step" | "checkpoint";
  readonly delay: number;
}

interface Whole {
  readonly steps: number;
  /** Milliseconds. */
  readonly perStep: number;
  readonly perSave: number;
}

const say = (line: string) => void process.stdout.write(`${line}\n`);

function optionsOf(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      recipe: { type: "string", default: "recipes/nano-short.yaml" },
      model: { type: "string" },
      out: { type: "string" },
      kills: { type: "string", default: "10" },
      seed: { type: "string", default: "1" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    process.exit(0);
  }
  const whole = (name: "kills" | "seed", least: number) => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < least)
      throw new Error(`--${name} is ${values[name]}: give a whole number, at least ${least}`);
    return value;
  };
  const out = values.out ?? mkdtempSync(join(tmpdir(), "kill-resume-"));
  return { recipe: values.recipe, model: values.model, out, kills: whole("kills", 1), seed: whole("seed", 0) };
}

function train({ recipe, model }: Options, folder: string, resume: boolean): CliProcess {
  return startCli([
    "train",
    recipe,
    ...(model === undefined ? [] : ["--set", `model=${model}`]),
    "--out",
    folder,
    ...(resume ? ["--resume"] : []),
  ]);
}

async function finish(child: CliProcess): Promise<void> {
  const { code, signal, stdout, stderr } = await child.ended;
  if (code !== 0) throw new Error(`train ended with ${code ?? signal}:\n${stderr || stdout}`);
}

async function trainWhole(options: Options, folder: string): Promise<Whole> {
  const began = performance.now();
  await finish(train(options, folder, false));
  const timing = readFileSync(join(folder, "timing.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { sample?: number; learn?: number; save?: number });
  const mean = (values: readonly number[]) =>
    (1000 * values.reduce((sum, value) => sum + value, 0)) / Math.max(1, values.length);
  const steps = stepsIn(folder);
  const perStep = mean(timing.flatMap(({ sample, learn }) => (sample && learn ? sample + learn : [])));
  const perSave = mean(timing.flatMap(({ save }) => save ?? []));
  say(
    `undisturbed: ${steps} steps in ${seconds(began)} (${Math.round(perStep)} ms a step, ${Math.round(perSave)} ms a checkpoint)`,
  );
  return { steps, perStep, perSave };
}

/** Spread over the run: one in each equal part of it, the first at any time of the start, every second in a checkpoint. */
function momentsOf({ kills }: Options, { steps, perStep, perSave }: Whole, random: Random): Moment[] {
  return Array.from({ length: kills }, (_, kill): Moment => {
    const step = Math.floor(((kill + random.next()) / kills) * Math.max(0, steps - 2));
    if (kill === 0) return { step: 0, at: "launch", delay: random.next() * 3000 };
    if (kill % 2 === 1) return { step, at: "checkpoint", delay: random.next() * perSave };
    return { step, at: "step", delay: random.next() * 2 * perStep };
  });
}

/** @returns false where the run came to its end before */
async function killAt({ step, at, delay }: Moment, child: CliProcess, folder: string): Promise<boolean> {
  let isOver = false;
  const over = child.ended.then(() => {
    isOver = true;
  });
  const reached = () => {
    if (at === "launch") return true;
    if (stepsIn(folder) < step) return false;
    return at === "step" || unfinishedCheckpoint(folder) !== undefined;
  };
  while (!isOver && !reached()) await Promise.race([sleep(2), over]);
  await Promise.race([sleep(delay), over]);
  child.signal("SIGKILL");
  const { signal, code, stderr } = await child.ended;
  if (signal === "SIGKILL") return true;
  if (code === 0) return false;
  throw new Error(`train ended with ${code ?? signal} before it was killed:\n${stderr}`);
}

/** Steps that the metrics hold. */
function stepsIn(folder: string): number {
  const file = join(folder, "metrics.jsonl");
  if (!existsSync(file)) return 0;
  return readFileSync(file, "utf8").split('"stage"').length - 1;
}

function checkpointsIn(folder: string): string[] {
  const checkpoints = join(folder, "checkpoints");
  return existsSync(checkpoints) ? readdirSync(checkpoints).sort() : [];
}

const unfinishedCheckpoint = (folder: string) => checkpointsIn(folder).find((name) => name.startsWith(".tmp-"));

function report(kill: number, { kills }: Options, moment: Moment, folder: string): void {
  const unfinished = unfinishedCheckpoint(folder);
  const from = checkpointsIn(folder).findLast((name) => name.startsWith("step-"));
  say(
    `kill ${String(kill).padStart(2)}/${kills}: after step ${String(stepsIn(folder)).padStart(2)}, ` +
      `${Math.round(moment.delay)} ms into ${moment.at === "step" ? "the next steps" : `the ${moment.at}`}` +
      `${unfinished ? `, ${unfinished.slice(".tmp-".length)} half written` : ""}; resumes from ${from ?? "the start"}`,
  );
}

async function trainKilled(options: Options, whole: Whole, folder: string): Promise<void> {
  const random = randomOf(options.seed, "kill-resume");
  const moments = momentsOf(options, whole, random);
  for (let kill = 1; kill <= options.kills; ) {
    const moment = moments[kill - 1]!;
    if (await killAt(moment, train(options, folder, kill > 1), folder)) {
      report(kill++, options, moment, folder);
    } else {
      say(`the run had ended before kill ${kill}: resumed once more and killed while it starts`);
      moments[kill - 1] = { step: 0, at: "launch", delay: random.next() * 1500 };
    }
  }
  await finish(train(options, folder, true));
}

/** Seconds and the time of day are in these alone. */
const isCompared = (path: string) => path !== "timing.jsonl" && !path.startsWith("tensorboard/");
const seconds = (began: number) => `${((performance.now() - began) / 1000).toFixed(1)} s`;

async function main(): Promise<number> {
  const options = optionsOf(process.argv.slice(2));
  const [undisturbed, killed] = [join(options.out, "whole"), join(options.out, "killed")];
  say(`${options.recipe}, ${options.kills} kills, seed ${options.seed}, in ${options.out}`);
  const whole = await trainWhole(options, undisturbed);
  const began = performance.now();
  await trainKilled(options, whole, killed);
  say(`killed and resumed: ${stepsIn(killed)} steps in ${seconds(began)}`);
  const { files, bytes, difference } = compareFolders(undisturbed, killed, isCompared);
  const last = checkpointsIn(undisturbed).at(-1);
  if (difference !== undefined) {
    say(`DIFFERENT: ${difference}`);
    return 1;
  }
  say(
    `same: ${files} files, ${(bytes / 1e6).toFixed(1)} MB, byte for byte (${last} with weights and optimiser, metrics.jsonl, trajectories, evals)`,
  );
  return 0;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
