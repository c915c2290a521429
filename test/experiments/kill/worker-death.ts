/** @file A thread of the engine dies in the midst of a run: one clear line, the checkpoints intact, and the run goes on. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { newestCheckpoint } from "../../../src/run/store/checkpoint-store.ts";
import { type Context, demand, demandSame, finish, type Part } from "./part.ts";

/** What the engine is asked for when the thread dies, and which time: sampling, learning, an update, a checkpoint. */
const deaths = ["sample:9", "forwardBackward:5", "applyUpdate:2", "reduceGradients:7", "tensors:2", "saveOptimizer:3"];

export const workerDeath: Part = {
  name: "worker",
  what: "a thread of the engine dies while it samples, learns, updates, saves: said in one line, resumed from a whole checkpoint",
  run: async ({ folder, train, whole, progress }: Context) => {
    const run = join(folder, "run");
    const hook = new URL("break-worker.mjs", import.meta.url).href;
    for (const [i, death] of deaths.entries()) {
      progress(i, deaths.length, death);
      const env = { BREAK_WORKER: death, NODE_OPTIONS: `${process.env["NODE_OPTIONS"] ?? ""} --import=${hook}` };
      const { code, signal, stderr } = await train(run, env).ended;
      demand(code === 1, `a worker died at ${death}, and train ended with ${code ?? signal}: ${stderr}`);
      const isClear = /^error: a worker ended with code 1\nhint: .*--resume.*\n$/.test(stderr);
      demand(isClear, `a worker died at ${death}, and train said: ${stderr}`);
      demand(!existsSync(join(run, "run.lock")), `a worker died at ${death}: the lock was left behind`);
      const damage: string[] = [];
      await newestCheckpoint(join(run, "checkpoints"), (text) => damage.push(text));
      demand(damage.length === 0, `a worker died at ${death}: ${damage[0]}`);
    }
    await finish(train(run));
    const files = demandSame(await whole(), run, `after ${deaths.length} workers died`);
    return `${deaths.length} threads died (${deaths.join(", ")}): each said in one line; resumed to the same ${files} files`;
  },
};
