/** @file Trains and evaluates what was planned, in child processes; a signal to this process reaches them as Ctrl-C. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { duration } from "../../../src/cli/display/words.ts";
import type { WorldSplit } from "../../../src/data/world/splits.ts";
import { checkpointName } from "../../../src/run/store/checkpoint-store.ts";
import { type CliProcess, startCli } from "../../support/cli-process.ts";
import { keepProvenance, type PlannedRun } from "./plan.ts";
import { splitFolder, stepsDone } from "./runs.ts";

export interface JobOptions {
  readonly jobs: number;
  readonly splits: readonly WorldSplit[];
  readonly say: (line: string) => void;
}

/** Thrown where a signal stopped the work: what is done is kept. */
export class Stopped extends Error {}

const reportEveryMs = 15_000;
const oneCtrlCMs = 1000;

export class Jobs {
  readonly #planned: readonly PlannedRun[];
  readonly #options: JobOptions;
  readonly #running = new Set<CliProcess>();
  readonly #began = performance.now();
  readonly #stepsBefore: number;
  #stoppingSince: number | undefined;

  constructor(planned: readonly PlannedRun[], options: JobOptions) {
    this.#planned = planned;
    this.#options = options;
    this.#stepsBefore = this.#steps().done;
  }

  /** @throws Stopped after `stop`, Error with what a child said where it failed */
  async run(): Promise<void> {
    const queue = [...this.#planned];
    const ticker = setInterval(() => this.#options.say(this.#progress()), reportEveryMs);
    const work = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) await this.#finish(next);
    };
    try {
      const outcomes = await Promise.allSettled(
        Array.from({ length: this.#options.jobs }, () => work().catch((error: unknown) => this.#fail(error))),
      );
      const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
      if (failures.length > 0) throw failures.find((reason) => !(reason instanceof Stopped)) ?? failures[0];
    } finally {
      clearInterval(ticker);
    }
  }

  /** Children save and end; a second time they are killed. One Ctrl-C may come twice, by the terminal and by npm. */
  stop(): void {
    const now = performance.now();
    if (this.#stoppingSince !== undefined && now - this.#stoppingSince < oneCtrlCMs) return;
    for (const child of this.#running) child.signal(this.#stoppingSince === undefined ? "SIGINT" : "SIGKILL");
    this.#stoppingSince ??= now;
  }

  /** One failure ends the others, saved. */
  #fail(error: unknown): never {
    if (this.#stoppingSince === undefined) this.stop();
    throw error;
  }

  async #finish(run: PlannedRun): Promise<void> {
    const { folder, state, recipe, provenance } = run;
    if (state === "finished") this.#options.say(`${folder}: finished before, taken as it is`);
    else {
      this.#options.say(`${folder}: ${state === "absent" ? "begins" : `continues after step ${stepsDone(folder)}`}`);
      keepProvenance(run);
      const set = [...provenance.set, `seed=${provenance.seed}`].flatMap((one) => ["--set", one]);
      await this.#child(["train", provenance.recipe, ...set, "--out", folder, "--resume"]);
      this.#options.say(`${folder}: trained; ${this.#progress()}`);
    }
    if (recipe.data.source !== "world" || provenance.recipe.startsWith("ablations/")) return;
    for (const split of this.#options.splits) await this.#evaluate(run, split);
  }

  /** Greedy, at base and stage ends; the base of one seed stands for all. */
  async #evaluate({ folder, recipe, provenance }: PlannedRun, split: WorldSplit): Promise<void> {
    let step = 0;
    const ends = recipe.stages.map((stage) => {
      step += stage.steps;
      return { checkpoint: stage.name, policy: join(folder, "checkpoints", checkpointName(step)) };
    });
    const base = provenance.seed === 0 ? [{ checkpoint: "base", policy: recipe.model }] : [];
    for (const { checkpoint, policy } of [...base, ...ends]) {
      const out = splitFolder(folder, checkpoint, split);
      if (existsSync(join(out, "summary.json"))) continue;
      const { questions, worldSeed } = recipe.eval.full;
      const world = ["--benchmark", "world", "--split", split, "--world-seed", String(worldSeed)];
      await this.#child(["eval", policy, ...world, "--questions", String(questions), "--out", out]);
    }
    this.#options.say(`${folder}: measured on ${split}`);
  }

  async #child(args: readonly string[]): Promise<void> {
    if (this.#stoppingSince !== undefined) throw new Stopped();
    const child = startCli(args);
    this.#running.add(child);
    const { code, signal, stderr, stdout } = await child.ended;
    this.#running.delete(child);
    if (this.#stoppingSince !== undefined && code !== 0) throw new Stopped();
    if (code !== 0) throw new Error(`${args.slice(0, 2).join(" ")} ended with ${code ?? signal}:\n${stderr || stdout}`);
  }

  #steps(): { done: number; all: number } {
    const done = this.#planned.reduce((sum, { folder }) => sum + stepsDone(folder), 0);
    return { done, all: this.#planned.reduce((sum, { steps }) => sum + steps, 0) };
  }

  #progress(): string {
    const { done, all } = this.#steps();
    const seconds = (performance.now() - this.#began) / 1000;
    const made = done - this.#stepsBefore;
    const left = made > 0 && done < all ? `, about ${duration((seconds / made) * (all - done))} left` : "";
    return `${done} of ${all} steps of ${this.#planned.length} runs, ${duration(seconds)}${left}`;
  }
}
