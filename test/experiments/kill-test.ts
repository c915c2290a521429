/** @file Everything that can go wrong with a run's files and processes, done to it: see --help. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pLimit from "p-limit";
import { programOptions, refuse, wholeNumber } from "../../scripts/program-options.ts";
import { ConfigError, messageOf } from "../../src/base/errors.ts";
import { damage } from "./kill/damage.ts";
import { diskFull } from "./kill/disk-full.ts";
import { kills, stops } from "./kill/killed-runs.ts";
import { locks } from "./kill/locks.ts";
import { type Context, type Options, type Part, Skipped, sharedContext } from "./kill/part.ts";
import { powerLoss } from "./kill/power-loss.ts";
import { saveFaults } from "./kill/save-faults.ts";
import { tracedSave } from "./kill/traced-save.ts";
import { workerDeath } from "./kill/worker-death.ts";

/** These put a tap on this process's own disk calls, so they come before the others, one by one. */
const tapped: readonly Part[] = [saveFaults, powerLoss];
const parts: readonly Part[] = [...tapped, kills, tracedSave, stops, damage, workerDeath, locks, diskFull];

const help = `Kills, starves and damages runs, and demands that each resumes to the bytes of one that nothing disturbed.
Prints one line for each part; exit code 1 where one fails.

usage: npm run experiment -- kill-test [part ...] [options]     (default: all parts)
parts:
${parts.map(({ name, what }) => `  ${name.padEnd(8)} ${what}`).join("\n")}
options:
  --seed <n>       of moments, mutations and crash images (default: 1)
  --kills <n>      SIGKILLs of a run (default: 60)
  --stops <n>      SIGTERMs of a run (default: 20)
  --mutations <n>  damaged checkpoints (default: 2000)
  --images <n>     crash images of each state of a save, besides the two plain ones (default: 6)
  --jobs <n>       parts at once (default: 2)
  --recipe <file>  what the runs train (default: a tiny policy and a recipe of 20 steps)
  --model <dir>    the policy to start from (default: the recipe's own)
  --out <dir>      keeps what was made there (default: a temporary folder that is removed)
  --help
`;

const say = (line: string) => void process.stdout.write(`${line}\n`);

interface Chosen {
  readonly chosen: readonly Part[];
  readonly out: string | undefined;
  readonly jobs: number;
  readonly options: Options;
}

function optionsOf(): Chosen {
  const text = { type: "string" } as const;
  const numbers = { seed: text, kills: text, stops: text, mutations: text, images: text, jobs: text };
  const { values, positionals } = programOptions(help, { ...numbers, recipe: text, model: text, out: text }, true);
  const whole = (name: keyof typeof numbers, otherwise: number) => wholeNumber(name, values[name] ?? `${otherwise}`);
  const names = parts.map(({ name }) => name);
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown !== undefined)
    refuse(new ConfigError(`there is no part "${unknown}"`, { hint: `choose of ${names.join(", ")}` }));
  return {
    chosen: positionals.length === 0 ? parts : parts.filter(({ name }) => positionals.includes(name)),
    out: values.out,
    jobs: Math.max(1, whole("jobs", 2)),
    options: {
      ...{ seed: whole("seed", 1), kills: whole("kills", 60), stops: whole("stops", 20) },
      ...{ mutations: whole("mutations", 2000), images: whole("images", 6) },
      ...{ recipe: values.recipe, model: values.model },
    },
  };
}

/** On stderr, at most every ten seconds. */
function progressOf(name: string): Context["progress"] {
  let last = performance.now();
  return (done, total, what = "") => {
    if (performance.now() - last < 10_000) return;
    last = performance.now();
    process.stderr.write(`  ${name}: ${done} of ${total}${what && `, ${what}`}\n`);
  };
}

/** @returns whether it held */
async function runPart(
  { name, run }: Part,
  context: Omit<Context, "folder" | "progress">,
  root: string,
): Promise<boolean> {
  const began = performance.now();
  const line = (verdict: string, text: string) =>
    say(`${verdict.padEnd(7)} ${name.padEnd(8)} ${text} (${((performance.now() - began) / 1000).toFixed(0)} s)`);
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  try {
    line("ok", await run({ ...context, folder, progress: progressOf(name) }));
    return true;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    line(error instanceof Skipped ? "SKIPPED" : "FAILED", text);
    return error instanceof Skipped;
  }
}

async function main(): Promise<void> {
  const { chosen, out, jobs, options } = optionsOf();
  const root = out ?? mkdtempSync(join(tmpdir(), "kill-test-"));
  process.once("exit", () => out === undefined && rmSync(root, { recursive: true, force: true }));
  const context = { ...options, ...sharedContext(root, options) };
  const run = (part: Part) => runPart(part, context, root);
  const verdicts: boolean[] = [];
  for (const part of tapped.filter((part) => chosen.includes(part))) verdicts.push(await run(part));
  const limit = pLimit(jobs);
  const others = chosen.filter((part) => !tapped.includes(part)).map((part) => limit(() => run(part)));
  verdicts.push(...(await Promise.all(others)));
  const held = verdicts.every(Boolean);
  say(held ? `all of ${chosen.length} parts held, seed ${options.seed}` : "a part FAILED");
  if (!held) process.exitCode = 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
try {
  await main();
} catch (error) {
  process.stderr.write(`error: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
