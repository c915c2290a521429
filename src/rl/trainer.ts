/** @file The method on one page: ask, roll out, score, compare siblings, learn. Everything else in `rl/` serves these lines. */
import { EngineError, InterruptedError, SearchError } from "../base/errors.ts";
import type { Sampler } from "../engine/engine.ts";
import type { Question } from "../protocol/question.ts";
import { failureOf, type Trajectory } from "../rollout/trajectory.ts";
import { estimateAdvantages } from "./advantage.ts";
import { attemptsOf, scoredAttempts, survivorsOf } from "./attempts.ts";
import type { Stage } from "./curriculum.ts";
import { EmptySearchWatch, isFailed, isOutage, type Metrics } from "./health.ts";
import { klMetrics, scoreByReference } from "./kl.ts";
import { learn, MAX_REFUSED } from "./learn.ts";
import { type AttemptRecord, stepMetrics, updateMetrics } from "./metrics.ts";
import { type Cursor, firstCursor, type TrainerParts } from "./parts.ts";
import { learningRateShare } from "./schedule.ts";
import { type Stopwatch, stopwatch } from "./stopwatch.ts";

/** So often may a run go back to a checkpoint before it is past the trouble. */
const MAX_ROLLBACKS = 2;

export interface StepOutcome {
  readonly metrics: Metrics;
  readonly attempts: readonly AttemptRecord[];
  /** Updates refused in a row until now. */
  readonly refused: number;
}

export interface StepContext {
  readonly cursor: Cursor;
  readonly sampler: Sampler;
  readonly clock: Stopwatch;
  readonly signal: AbortSignal;
}

/** @returns undefined where the signal came before any weight changed: the step was abandoned */
export async function trainStep(parts: TrainerParts, context: StepContext): Promise<StepOutcome | undefined> {
  const { curriculum, learner, config } = parts;
  const { cursor, sampler, clock, signal } = context;
  const { step, refused } = cursor;
  const stage = curriculum.stageAt(step); // decides the questions and the reward
  const questions = curriculum.questionsFor(step); // [B]
  const groups = await clock.time("sample", () => rollOutOrWait(questions, parts, context)); // [B][G]
  const rewards = await clock.time("score", () => scoreAll(groups, stage, parts)); // [B][G]; undefined: failed
  const kl = { kl: config.kl, references: await askReference(survivorsOf(groups, rewards), parts, clock) };
  const advantages = estimateAdvantages(attemptsOf(groups, rewards, kl), config.estimator); // [B][G]
  const attempts = groups.map((group, b) =>
    group.map((trajectory, g): AttemptRecord => {
      return { trajectory, reward: rewards[b]![g]!, advantage: advantages.values[b]![g]! };
    }),
  );
  const learnt = await clock.time("learn", () =>
    learn(scoredAttempts(groups, advantages, kl), learner, {
      config,
      policyVersion: sampler.policyVersion,
      learningRate:
        (stage.learningRate ?? config.optimizer.learningRate) *
        learningRateShare(step, curriculum.steps, config.optimizer),
      refused,
      abandon: () => signal.aborted,
    }),
  );
  if (!learnt) return undefined;
  const metrics = {
    ...stepMetrics(attempts.flat(), advantages, { groups: groups.length, promptOf: parts.promptOf ?? (() => "") }),
    ...klMetrics(kl.references, config.kl),
    ...updateMetrics(learnt.report),
  };
  return { metrics, attempts: attempts.flat(), refused: learnt.refused };
}

function askReference(survivors: readonly Trajectory[], { config, reference }: TrainerParts, clock: Stopwatch) {
  const ask = () => scoreByReference(survivors, { kl: config.kl, reference });
  return reference ? clock.time("reference", ask) : ask();
}

/** A failure of the environment is no reward, not even zero. */
function scoreAll(groups: readonly (readonly Trajectory[])[], stage: Stage, { score }: TrainerParts) {
  const scoreOne = async (trajectory: Trajectory) => (isFailed(trajectory) ? undefined : score(trajectory, stage));
  return Promise.all(groups.map((group) => Promise.all(group.map(scoreOne))));
}

/** The same step again, with the same draws, until the environment is back. */
async function rollOutOrWait(
  questions: readonly Question[],
  parts: TrainerParts,
  { cursor, sampler, signal }: StepContext,
) {
  const { step, rollbacks: attempt } = cursor;
  for (let times = 1; ; times++) {
    const groups = await parts.rollOut(questions, {
      step,
      firstQuestion: step * parts.curriculum.batch,
      sampler,
      attempt,
      signal,
    });
    if (groups.length !== questions.length)
      throw new Error(`${questions.length} questions gave ${groups.length} groups`);
    const attempts = groups.flat();
    const failed = attempts.filter(isFailed);
    if (!isOutage(attempts, parts.waitOut ? times : Number.POSITIVE_INFINITY)) return groups;
    const because = failed.map(failureOf).find((failure) => failure !== undefined) ?? "no reason given";
    if (!parts.waitOut) {
      throw new SearchError(
        `${failed.length} of ${attempts.length} attempts of step ${step} failed outside the policy: ${because}`,
        {
          hint: "bring search back, then continue with --resume",
        },
      );
    }
    await parts.waitOut({ step, failed: failed.length, attempts: attempts.length, times, because }, signal);
    signal.throwIfAborted();
  }
}

/**
 * Trains from `from` to the end of the curriculum. Between two steps it saves where that is due, then evaluates where
 * that is due, so that every record is a function of the recipe and the step alone, whenever the run was stopped.
 *
 * @throws InterruptedError after saving, where the signal was raised; the learner may then hold half a gradient
 * @throws EngineError where updates keep being refused after going back twice
 * @throws SearchError after saving, where search is away for good or finds nothing any more
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
  /** When it was last saved, or began. */
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
      else this.#advance(refused);
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

  #advance(refused: number): void {
    const { step, rollbacks, trouble } = this.#cursor;
    const isPast = refused === 0 && step >= trouble;
    this.#cursor = {
      ...this.#cursor,
      step: step + 1,
      refused,
      rollbacks: isPast ? 0 : rollbacks,
      trouble: isPast ? -1 : trouble,
    };
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

  /** Runs what may be abandoned; where the signal was raised, saves and leaves, whatever the work made of it. */
  async #interruptible<T>(work: () => Promise<T | undefined>): Promise<T> {
    try {
      if (this.#signal.aborted) return await this.#leave();
      const result = await work();
      return result === undefined ? await this.#leave() : result;
    } catch (cause) {
      if (cause instanceof InterruptedError) throw cause;
      if (this.#signal.aborted) return this.#leave();
      if (cause instanceof SearchError) return this.#leave(cause); // search comes before any weight changes
      throw cause;
    }
  }

  /** Saves where the run stands and ends it. */
  async #leave(because?: SearchError): Promise<never> {
    const { step, refused } = this.#cursor;
    if (this.#savedStep !== step && (because === undefined || refused === 0)) await this.#save();
    if (because) throw because;
    throw new InterruptedError(`stopped before step ${step + 1} of ${this.#parts.curriculum.steps}; the run is saved`, {
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
    const { step, rollbacks } = this.#cursor;
    if (rollbacks >= MAX_ROLLBACKS) {
      throw new EngineError(
        `${MAX_REFUSED} updates in a row were refused at step ${step}: their losses or gradients are not finite, after going back ${rollbacks} times`,
        {
          hint: "lower optimizer.learningRate; the last good checkpoint is kept",
        },
      );
    }
    const checkpoint = await this.#parts.keeper.rollBack();
    this.#cursor = { ...checkpoint, refused: 0, rollbacks: rollbacks + 1, trouble: step };
    this.#savedStep = checkpoint.step;
  }
}
