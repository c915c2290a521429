/** @file One training step of the nano recipe, measured phase by phase, with what a peer needs to do the same work. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toJson } from "../../src/base/jsonl.ts";
import type { Learner, TrainingSequence } from "../../src/engine/engine.ts";
import { readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { scoreTrajectory } from "../../src/reward/stages.ts";
import { createCurriculum } from "../../src/rl/curriculum.ts";
import { firstCursor, type Keeper, type TrainerParts } from "../../src/rl/parts.ts";
import { stopwatch } from "../../src/rl/stopwatch.ts";
import { type StepOutcome, trainStep } from "../../src/rl/trainer.ts";
import { searchEnvironment } from "../../src/rollout/search-environment.ts";
import { bundled, type OpenPolicy } from "../../src/run/engines/open-policy.ts";
import { loadRecipe } from "../../src/run/recipe/load-recipe.ts";
import type { Recipe } from "../../src/run/recipe/recipe.ts";
import { openRunFolder, type RunFolder } from "../../src/run/store/run-folder.ts";
import { runKeeper } from "../../src/run/store/run-keeper.ts";
import { rolloutStep } from "../../src/run/train/rollout-step.ts";
import { openStart } from "../../src/run/train/start-policy.ts";
import { trainerConfig } from "../../src/run/train/trainer-config.ts";
import { openQuestions, questionSource, type TrainingData } from "../../src/run/train/training-data.ts";
import type { Searcher } from "../../src/search/searcher.ts";
import { gradientFlops, shapeOf } from "./model.ts";

/** What a step is made of; together they are all of it. */
export interface StepSeconds {
  readonly sample: number;
  readonly search: number;
  readonly reward: number;
  readonly learn: number;
  readonly write: number;
}

export interface MeasuredStep {
  readonly seconds: StepSeconds;
  readonly cpuSeconds: number;
  readonly policyTokens: number;
  /** Of the gradient, and no more than it needs. */
  readonly flops: number;
  /** Of this process, in bytes. */
  readonly rss: number;
}

/** The policy that searches as stage 2 does: the bundled searcher, or the policy it is made from where that is absent. */
export function benchPolicy(): string {
  const searcher = bundled("nano-searcher");
  return existsSync(join(searcher, "config.json")) ? searcher : bundled("nano");
}

export async function openNanoSteps(overrides: readonly string[] = []): Promise<NanoSteps> {
  const recipe = loadRecipe("nano", [`model=${benchPolicy()}`, ...overrides]);
  const data = await openQuestions(recipe);
  const policy = await openStart(recipe, { training: true, concurrency: recipe.rolloutBatch.concurrency });
  const directory = mkdtempSync(join(tmpdir(), "r1-searcher-bench-"));
  return new NanoSteps({ recipe, data, policy, directory });
}

interface Parts {
  readonly recipe: Recipe;
  readonly data: TrainingData;
  readonly policy: OpenPolicy;
  readonly directory: string;
}

export class NanoSteps {
  readonly policy: OpenPolicy;
  readonly #parts: Parts;
  readonly #folder: RunFolder;
  readonly #keeper: Keeper;
  readonly #trainer: TrainerParts;
  readonly #clock = stopwatch(() => performance.now() / 1000);
  #searching = 0;
  #step: number;
  #updates: (readonly TrainingSequence[])[] = [];
  #outcome: StepOutcome | undefined;

  constructor(parts: Parts) {
    const { recipe, data, policy, directory } = parts;
    this.#parts = parts;
    this.policy = policy;
    const source = questionSource(recipe, data);
    const curriculum = createCurriculum(recipe.stages, { batch: recipe.rolloutBatch.questions, source });
    this.#step = curriculum.stages.at(-1)!.firstStep;
    this.#folder = openRunFolder(join(directory, "run"), { recipe, resume: false });
    this.#keeper = runKeeper({ folder: this.#folder, learner: policy.learner!, keep: 1, warn: () => {} });
    this.#trainer = {
      curriculum,
      learner: this.#watchedLearner(policy.learner!),
      config: trainerConfig(recipe),
      keeper: this.#keeper,
      rollOut: rolloutStep({
        recipe,
        policy,
        environment: searchEnvironment({
          searcher: this.#timedSearcher(data.search.searcher),
          protocol: policy.protocol,
          config: policy.rollout,
        }),
      }),
      score: (trajectory, stage) => scoreTrajectory(trajectory, stage.reward),
    };
  }

  /** The next step of the last stage. */
  async next(): Promise<MeasuredStep> {
    const { curriculum, learner } = this.#trainer;
    this.#updates = [];
    this.#searching = 0;
    // a measurement may take more steps than the recipe has: the last one's questions are then asked again
    const step = Math.min(this.#step++, curriculum.steps - 1);
    const cpu = process.cpuUsage();
    const sampler = await this.#clock.time("sample", () => learner.publish());
    const signal = new AbortController().signal;
    const outcome = await trainStep(this.#trainer, {
      cursor: { ...firstCursor, step },
      sampler,
      clock: this.#clock,
      signal,
    });
    if (!outcome) throw new Error("a step was abandoned without a signal");
    const { metrics, attempts } = outcome;
    this.#outcome = outcome;
    await this.#clock.time("write", () => this.#keeper.record({ step, metrics, attempts, timing: {}, stage: "bench" }));
    const { user, system } = process.cpuUsage(cpu);
    const { sample = 0, score = 0, learn = 0, write = 0 } = this.#clock.take();
    const search = this.#searching;
    return {
      seconds: { sample: Math.max(0, sample - search), search, reward: score, learn, write },
      cpuSeconds: (user + system) / 1e6,
      policyTokens: metrics["policy/tokens"] ?? 0,
      flops: this.#updates.reduce(
        (sum, batch) => sum + gradientFlops(shapeOf(readModelConfig(this.policy.directory)), batch),
        0,
      ),
      rss: process.memoryUsage.rss(),
    };
  }

  /** The last step as a file for a peer: its attempts with their authors, and what each update learnt from. */
  describe(): string {
    const file = join(this.#parts.directory, "step.json");
    const { siblings } = this.#parts.recipe.rolloutBatch;
    const attempts = this.#outcome!.attempts.map(({ trajectory: { tape } }, i) => ({
      tokens: Array.from(tape.tokens),
      runs: tape.runs.map(({ author, length }) => [author, length]),
      group: Math.floor(i / siblings),
    }));
    const updates = this.#updates.map((batch) => batch.map(plainSequence));
    const config = readModelConfig(this.policy.directory);
    writeFileSync(file, toJson({ config: shapeOf(config), context: config.contextLength, attempts, updates }));
    return file;
  }

  async close(): Promise<void> {
    this.#folder.close();
    await this.policy.close();
    await this.#parts.data.close();
    rmSync(this.#parts.directory, { recursive: true, force: true });
  }

  /** Its time is the main thread's, which samples nothing meanwhile. */
  #timedSearcher(searcher: Searcher): Searcher {
    return {
      info: () => searcher.info(),
      close: () => searcher.close(),
      search: async (queries, options) => {
        const began = performance.now();
        const results = await searcher.search(queries, options);
        this.#searching += (performance.now() - began) / 1000;
        return results;
      },
    };
  }

  #watchedLearner(learner: Learner): Learner {
    return {
      capabilities: learner.capabilities,
      forwardBackward: (batch, loss) => {
        this.#updates.push(batch);
        return learner.forwardBackward(batch, loss);
      },
      optimStep: (spec) => learner.optimStep(spec),
      logprobs: (batch) => learner.logprobs(batch),
      publish: () => learner.publish(),
      save: (directory) => learner.save(directory),
      load: (directory) => learner.load(directory),
      close: () => learner.close(),
    };
  }
}

export function plainSequence({ tokens, weights, advantages, oldLogprobs }: TrainingSequence) {
  const [w, a, o] = [weights, advantages, oldLogprobs].map((values) => Array.from(values));
  return { tokens: Array.from(tokens), weights: w, advantages: a, oldLogprobs: o };
}
