/** @file One trainer for one folder: the second refuses, and a lock whose holder is gone is no obstacle. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type CliEnd, type CliProcess, sleep } from "../../support/cli-process.ts";
import { type Context, demand, demandSame, finish, type Part, stepsIn } from "./part.ts";

async function untilStep(child: CliProcess, run: string, step: number): Promise<void> {
  let end: CliEnd | undefined;
  void child.ended.then((ended) => {
    end = ended;
  });
  while (stepsIn(run) < step) {
    demand(!end, `train ended with ${end?.code ?? end?.signal}: ${end?.stderr}`);
    await sleep(5);
  }
}

function demandRefused({ code, stderr }: CliEnd, who: string): void {
  demand(code === 2, `a trainer of a folder that is in use ended with ${code}: ${stderr}`);
  demand(new RegExp(`^error: .*is in use by ${who}.*\\nhint: .+\\n$`).test(stderr), `it said: ${stderr}`);
}

const lockOf = (run: string) => join(run, "run.lock");

/** Several start at once where a dead trainer left its lock: one goes on. @returns that one */
async function race(train: Context["train"], run: string): Promise<CliProcess> {
  const racers = Array.from({ length: 3 }, () => train(run));
  const ends = new Map<CliProcess, CliEnd>();
  for (const racer of racers) void racer.ended.then((end) => ends.set(racer, end));
  while (ends.size < racers.length - 1) await sleep(10);
  const winner = racers.find((racer) => !ends.has(racer));
  demand(winner, "of three trainers that found a dead one's lock, none went on");
  for (const end of ends.values()) demandRefused(end, "");
  return winner;
}

/** A lock as another process would have left it. */
function forge(run: string, holder: object): void {
  writeFileSync(lockOf(run), JSON.stringify({ pid: process.pid, host: hostname(), started: "1", ...holder }));
}

export const locks: Part = {
  name: "lock",
  what: "two trainers in one folder, a lock left by a killed one, by a reused process number, from another machine, torn",
  run: async ({ folder, train, whole }: Context) => {
    const run = join(folder, "run");
    const first = train(run);
    await untilStep(first, run, 2);
    demandRefused(await train(run).ended, `process ${first.pid} on`);
    first.signal("SIGKILL");
    await first.ended;
    demand(existsSync(lockOf(run)), "a killed trainer left no lock: nothing stale is tried");
    const winner = await race(train, run);
    await untilStep(winner, run, 5);
    winner.signal("SIGTERM");
    demand((await winner.ended).code === 130 && !existsSync(lockOf(run)), "a stopped trainer keeps its lock");
    forge(run, { host: "another-machine" });
    demandRefused(await train(run).ended, `process ${process.pid} on another-machine`);
    demand(readFileSync(lockOf(run), "utf8").includes("another-machine"), "the lock of another machine was taken");
    forge(run, {}); // this process is alive, but began at another time
    const second = train(run);
    await untilStep(second, run, 8);
    second.signal("SIGKILL");
    await second.ended;
    writeFileSync(lockOf(run), '{"pid": 12'); // the machine lost its power as it was written
    await finish(train(run));
    const files = demandSame(await whole(), run, "after trainers fought for its folder");
    return `2 second trainers refused, 3 stale locks recovered (1 by one of 3 at once), 1 foreign lock respected; the same ${files} files`;
  },
};
