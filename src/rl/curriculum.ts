/** @file What is asked at each step, and by which stage's rules. A step's questions are a function of its number. */
import { ConfigError } from "../base/errors.ts";
import { randomOf } from "../base/random.ts";
import type { Question } from "../protocol/question.ts";
import type { StageConfig } from "./config.ts";

/** A stage with its place in the run. `Config` may hold more than the loop reads, such as where the questions are from. */
export type Stage<Config extends StageConfig = StageConfig> = Config & {
  readonly index: number;
  readonly firstStep: number;
  /** One past its last step. */
  readonly endStep: number;
};

export interface QuestionRequest<Config extends StageConfig = StageConfig> {
  readonly step: number;
  readonly stage: Stage<Config>;
  readonly count: number;
}

/** Gives `count` questions; the same request gives the same questions. */
export type QuestionSource<Config extends StageConfig = StageConfig> = (
  request: QuestionRequest<Config>,
) => readonly Question[];

export interface Curriculum {
  readonly stages: readonly Stage[];
  /** Of all stages together. */
  readonly steps: number;
  /** Questions of one step. */
  readonly batch: number;
  stageAt(step: number): Stage;
  questionsFor(step: number): readonly Question[];
  /** "base" before the first step, a stage's name at its end, undefined in between. */
  milestoneAt(step: number): string | undefined;
}

export function createCurriculum<Config extends StageConfig>(
  configs: readonly Config[],
  { batch, source }: { readonly batch: number; readonly source: QuestionSource<Config> },
): Curriculum {
  let firstStep = 0;
  const stages = configs.map((config, index): Stage<Config> => {
    const stage = { ...config, index, firstStep, endStep: firstStep + config.steps };
    firstStep = stage.endStep;
    return stage;
  });
  const stageAt = (step: number) => {
    const stage = stages.find(({ endStep }) => step < endStep);
    if (!stage || step < 0) throw new Error(`there is no step ${step}; the stages end at ${firstStep}`);
    return stage;
  };
  return {
    stages,
    steps: firstStep,
    batch,
    stageAt,
    questionsFor: (step) => source({ step, stage: stageAt(step), count: batch }),
    milestoneAt: (step) => (step === 0 ? "base" : stages.find(({ endStep }) => endStep === step)?.name),
  };
}

/** A list, shuffled anew for every pass; each question comes once in a pass, counted from the start of the stage. */
export function listSource<Config extends StageConfig>(
  questionsOf: (stage: Stage<Config>) => readonly Question[],
  seed: number,
): QuestionSource<Config> {
  const orders = new Map<string, readonly Question[]>();
  const orderOf = (stage: Stage<Config>, pass: number) => {
    const name = `${stage.index}/${pass}`;
    const known = orders.get(name);
    if (known) return known;
    if (orders.size > 1) orders.clear();
    const order = randomOf(seed, "questions", stage.name, pass).shuffle(questionsOf(stage));
    orders.set(name, order);
    return order;
  };
  return ({ step, stage, count }) => {
    const { length } = questionsOf(stage);
    if (length < count) {
      throw new ConfigError(`stage "${stage.name}" has ${length} questions; a step asks ${count}`, {
        hint: "lower rolloutBatch.questions or give more questions",
      });
    }
    const first = (step - stage.firstStep) * count;
    return Array.from(
      { length: count },
      (_, i) => orderOf(stage, Math.floor((first + i) / length))[(first + i) % length]!,
    );
  };
}
