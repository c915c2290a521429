/** @file A real run that is ended by signals at seeded moments and resumed each time ends with the bytes of one that never was. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Random, randomOf } from "../../../src/base/random.ts";
import { type CliEnd, type CliProcess, sleep } from "../../support/cli-process.ts";
import { type Context, checkpointsIn, demand, demandSame, finish, type Part, stepsIn } from "./part.ts";

/** When a run is ended: `delay` milliseconds after it has come to `step`, or to the next checkpoint from there. */
interface Moment {
  readonly step: number;
  readonly at: "launch" | "step" | "checkpoint";
  readonly delay: number;
}

/** What a step took, in milliseconds. */
interface Pace {
  readonly sampling: number;
  readonly learning: number;
  readonly saving: number;
}

/** Of every step of a run, and of what follows its last. */
function pacesOf(run: string): readonly Pace[] {
  return readFileSync(join(run, "timing.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => {
      const {
        sample = 0,
        learn = 0,
        save = 0,
      } = JSON.parse(line) as { sample?: number; learn?: number; save?: number };
      return { sampling: 1000 * sample, learning: 1000 * learn, saving: 1000 * save };
    });
}

/**
 * Spread over the run: one in each equal part of it, the first at any time of the start, every second in a checkpoint,
 * the others while a step samples and while one learns by turns.
 */
function momentsOf(count: number, paces: readonly Pace[], random: Random): Moment[] {
  return Array.from({ length: count }, (_, i): Moment => {
    const step = Math.floor(((i + random.next()) / count) * Math.max(0, paces.length - 3));
    const { sampling, learning, saving } = paces[step]!;
    if (i === 0) return { step: 0, at: "launch", delay: random.next() * 3000 };
    if (i % 2 === 1) return { step, at: "checkpoint", delay: random.next() * saving };
    return {
      ...{ step, at: "step" },
      delay: i % 4 === 2 ? random.next() * sampling : saving + sampling + random.next() * learning,
    };
  });
}

const unfinishedCheckpoint = (run: string) => checkpointsIn(run).find((name) => name.startsWith(".tmp-"));

/** A process that resumes first writes its metrics anew, without what came after the checkpoint. */
const metricsOf = (run: string) => statSync(join(run, "metrics.jsonl"), { throwIfNoEntry: false });

function lastWritten(run: string): number {
  const checkpoints = checkpointsIn(run).map((name) => join(run, "checkpoints", name));
  const times = checkpoints.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  return Math.max(metricsOf(run)?.mtimeMs ?? 0, ...times);
}

interface Ended extends CliEnd {
  /** Since the signal, in milliseconds. */
  readonly ms: number;
  /** The signal came before it had read its checkpoint. */
  readonly isEarly: boolean;
  /** Milliseconds since a step before, or its checkpoint, was written. */
  readonly intoStep: number;
}

/** @returns undefined where the run had come to its end before */
async function endAt(
  { step, at, delay }: Moment,
  child: CliProcess,
  { run, signal }: { readonly run: string; readonly signal: "SIGKILL" | "SIGTERM" },
): Promise<Ended | undefined> {
  const before = metricsOf(run)?.ino;
  let isOver = false;
  const over = child.ended.then(() => {
    isOver = true;
  });
  const reached = () => {
    if (at === "launch") return true;
    if (metricsOf(run)?.ino === before || stepsIn(run) < step) return false;
    return at === "step" || unfinishedCheckpoint(run) !== undefined;
  };
  while (!isOver && !reached()) await Promise.race([sleep(3), over]);
  await Promise.race([sleep(delay), over]);
  const sent = performance.now();
  const isEarly = metricsOf(run)?.ino === before;
  const intoStep = Date.now() - lastWritten(run);
  child.signal(signal);
  const end = await child.ended;
  return end.code === 0 ? undefined : { ...end, ms: performance.now() - sent, isEarly, intoStep };
}

/** How a run takes a signal: in words, to be counted. Throws where it takes it badly. */
type Verdict = (end: Ended, run: string, paces: readonly Pace[]) => string;

async function endAgainAndAgain(
  context: Context,
  {
    signal,
    count,
    verdict,
  }: { readonly signal: "SIGKILL" | "SIGTERM"; readonly count: number; readonly verdict: Verdict },
): Promise<string> {
  const { train, folder, seed, progress } = context;
  const whole = await context.whole();
  const paces = pacesOf(whole);
  const random = randomOf(seed, signal);
  const counts = new Map<string, number>();
  let [runs, sent, files] = [0, 0, 0];
  do {
    const run = join(folder, `run-${++runs}`);
    for (const moment of momentsOf(count - sent, paces, random)) {
      progress(sent, count, `run ${runs} at step ${stepsIn(run)}`);
      const end = await endAt(moment, train(run), { run, signal });
      if (!end) break; // it came to its end; the rest is for another run
      const word = verdict(end, run, paces);
      counts.set(word, (counts.get(word) ?? 0) + 1);
      sent++;
    }
    await finish(train(run));
    files = demandSame(whole, run, `run ${runs}, after ${sent} ${signal}`);
  } while (sent < count);
  const words = [...counts].map(([word, times]) => `${times} ${word}`).join(", ");
  const over = `${runs === 1 ? "a run" : `${runs} runs`} of ${stepsIn(whole)} steps`;
  return `${count} ${signal} over ${over}: ${words}; resumed to the same ${files} files, byte for byte`;
}

const killed: Verdict = ({ signal, code, stderr, isEarly, intoStep }, run, paces) => {
  demand(signal === "SIGKILL", `train ended with ${code ?? signal} before it was killed: ${stderr}`);
  if (isEarly) return "while it started";
  if (unfinishedCheckpoint(run)) return "within a checkpoint";
  return intoStep < paces[stepsIn(run)]!.sampling ? "while it sampled" : "while it learned"; // or while it was evaluated
};

const stopped: Verdict = ({ signal, code, stderr, ms, isEarly }, run) => {
  demand(ms < 10_000, `train took ${Math.round(ms)} ms to stop`);
  if (signal === "SIGTERM" && isEarly) return "while it started"; // nobody listened yet
  demand(code === 130, `train ended with ${code ?? signal}: ${stderr}`);
  demand(/^stopped: .*the run is saved\nhint: continue with --resume\n$/m.test(stderr), `train said: ${stderr}`);
  demand(!unfinishedCheckpoint(run), `${unfinishedCheckpoint(run)} was left behind`);
  return "saved and said so";
};

export const kills: Part = {
  name: "kills",
  what: "a real run killed by SIGKILL at seeded moments, half of them within a checkpoint, the others while it samples or learns, and resumed each time",
  run: (context) => endAgainAndAgain(context, { signal: "SIGKILL", count: context.kills, verdict: killed }),
};

export const stops: Part = {
  name: "stops",
  what: "the same with SIGTERM: saved within ten seconds, exit code 130",
  run: (context) => endAgainAndAgain(context, { signal: "SIGTERM", count: context.stops, verdict: stopped }),
};
