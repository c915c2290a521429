/** @file Runs the steps of a curriculum one after another: saves, evaluates, goes back to a checkpoint, and stops. */
import { InterruptedError, RewardError, SearchError } from "../base/errors.ts";
import { EmptySearchWatch, type Metrics } from "./health.ts";
import { MAX_REFUSED } from "./learn.ts";
import type { AttemptRecord } from "./metrics.ts";
import { type Cursor, firstCursor, type TrainerParts } from "./parts.ts";
import { afterStep, goBack } from "./rollback.ts";
import { type Stopwatch, stopwatch } from "./stopwatch.ts";
import { type StepOutcome, trainStep } from "./trainer.ts";

/**
 * Trains from `from` to the end of the curriculum. Between two steps it saves where that is due, then evaluates where
 * that is due, so that every record is a function of the recipe and the step alone, whenever the run was stopped.
 *
 * @throws InterruptedError after saving, where the signal was raised; the learner may then hold half a gradient
 * @throws EngineError where updates keep being refused after going back twice
 * @throws SearchError after saving, where search is away for good or finds nothing any more
 * @throws RewardError after saving, where the reward failed for every attempt of a step
 */
export async function train(parts: TrainerParts, from: Cursor = firstCursor, saved = from.step > 0): Promise<Cursor> {
  return new Training(parts, from, saved ? from.step : -1).run();
}

class Training {
  readonly #parts: TrainerParts;
  readonly #signal: AbortSignal;
  readonly #clock: Stopwatch;
  readonly #emptySearch: EmptySearchWatch;
  #cursor: Cursor;
  #savedStep: number;
  readonly #now: () => number;
  /** When the run was last saved, or began, in seconds. */
  #savedAt: number;

  constructor(parts: TrainerParts, cursor: Cursor, savedStep: number) {
    this.#parts = parts;
    this.#signal = parts.signal ?? new AbortController().signal;
    this.#now = parts.now ?? (() => performance.now() / 1000);
    this.#savedAt = this.#now();
    this.#clock = stopwatch(this.#now);
    this.#emptySearch = new EmptySearchWatch(parts.config.stopAfterEmptySteps ?? 0);
    this.#cursor = cursor;
    this.#savedStep = savedStep;
  }

  async run(): Promise<Cursor> {
    const { curriculum } = this.#parts;
    for (;;) {
      await this.#saveIfDue();
      const evaluated = await this.#interruptible(() => this.#evaluateIfDue());
      if (this.#cursor.step >= curriculum.steps) {
        await this.#record(evaluated, []);
        return this.#cursor;
      }
      const { step } = this.#cursor;
      const outcome = await this.#interruptible(() => this.#step());
      const { refused, attempts, metrics } = outcome;
      await this.#record(
        { ...metrics, ...evaluated, "run/rollbacks": this.#cursor.rollbacks },
        attempts,
        curriculum.stageAt(this.#cursor.step).name,
      );
      if (refused >= MAX_REFUSED) await this.#goBack();
      else this.#cursor = afterStep(this.#cursor, refused);
      const died = await this.#emptySearch.note(
        metrics,
        async () => (await this.#parts.searchFinds?.(curriculum.questionsFor(step))) ?? false,
      );
      if (died) await this.#leave(died);
    }
  }

  async #step(): Promise<StepOutcome | undefined> {
    const sampler = await this.#clock.time("publish", () => this.#parts.learner.publish());
    return trainStep(this.#parts, { cursor: this.#cursor, sampler, clock: this.#clock, signal: this.#signal });
  }

  async #record(metrics: Metrics, attempts: readonly AttemptRecord[], stage?: string): Promise<void> {
    const { step } = this.#cursor;
    await this.#parts.keeper.record({
      step,
      metrics,
      attempts,
      timing: this.#clock.take(),
      ...(stage === undefined ? {} : { stage }),
    });
  }

  /** Runs work that may be abandoned. Where the signal was raised, the run is saved and ended, whatever the work gave. */
  async #interruptible<T>(work: () => Promise<T | undefined>): Promise<T> {
    try {
      if (this.#signal.aborted) return await this.#leave();
      const result = await work();
      return result === undefined ? await this.#leave() : result;
    } catch (cause) {
      if (cause instanceof InterruptedError) throw cause;
      if (this.#signal.aborted) return this.#leave();
      // attempts are made and scored before any weight changes
      if (cause instanceof SearchError || cause instanceof RewardError) return this.#leave(cause);
      throw cause;
    }
  }

  /** Saves where the run stands and ends it. */
  async #leave(because?: SearchError | RewardError): Promise<never> {
    const { step, refused } = this.#cursor;
    if (this.#savedStep !== step && (because === undefined || refused === 0)) await this.#save();
    if (because) throw because;
    const { steps } = this.#parts.curriculum;
    const where =
      step < steps ? `before step ${step + 1} of ${steps}` : `after the last of ${steps} steps, in its evaluation`;
    throw new InterruptedError(`stopped ${where}; the run is saved`, {
      hint: "continue with --resume",
    });
  }

  /** Not while updates are refused: the newest checkpoint is what the run goes back to. */
  async #saveIfDue(): Promise<void> {
    const { step, refused } = this.#cursor;
    const { curriculum, config } = this.#parts;
    const { checkpointEvery, checkpointSeconds = Number.POSITIVE_INFINITY } = config;
    const isLast = step === curriculum.steps;
    const isDue =
      step % checkpointEvery === 0 ||
      this.#now() - this.#savedAt >= checkpointSeconds ||
      curriculum.milestoneAt(step) !== undefined ||
      this.#isEvaluated(step);
    if (this.#savedStep !== step && (isLast || (isDue && refused === 0))) await this.#save();
  }

  async #save(): Promise<void> {
    const { step, best } = this.#cursor;
    const stageEnds = this.#parts.curriculum.stages.map(({ endStep }) => endStep);
    const pinned = [...stageEnds, ...(best ? [best.step] : [])];
    await this.#clock.time("save", () => this.#parts.keeper.save(this.#cursor, pinned));
    this.#savedStep = step;
    this.#savedAt = this.#now();
  }

  #isEvaluated(step: number): boolean {
    const { evaluate, curriculum, config } = this.#parts;
    if (!evaluate) return false;
    return curriculum.milestoneAt(step) !== undefined || (config.evalEvery > 0 && step % config.evalEvery === 0);
  }

  async #evaluateIfDue(): Promise<Metrics> {
    const { evaluate, curriculum, learner } = this.#parts;
    const { step, best } = this.#cursor;
    if (!evaluate || !this.#isEvaluated(step)) return {};
    const milestone = curriculum.milestoneAt(step);
    const checkpoint = milestone ?? `step-${String(step).padStart(6, "0")}`;
    return this.#clock.time("evaluate", async () => {
      const request = { step, checkpoint, signal: this.#signal, sampler: await learner.publish() };
      const { score, metrics } = await evaluate({ ...request, scope: "curve" });
      const full = milestone === undefined ? undefined : await evaluate({ ...request, scope: "full" });
      this.#signal.throwIfAborted(); // an evaluation that was cut short says nothing
      if (this.#savedStep === step && (best === undefined || score > best.score)) {
        this.#cursor = { ...this.#cursor, best: { step, score } };
      }
      return { ...metrics, ...full?.metrics };
    });
  }

  async #goBack(): Promise<void> {
    this.#cursor = await goBack(this.#cursor, () => this.#parts.keeper.rollBack());
    this.#savedStep = this.#cursor.step;
  }
}
