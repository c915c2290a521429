/** @file What is asked at each step, and by which stage's rules. A step's questions are a function of its number. */
import { ConfigError } from "../base/errors.ts";
import { randomOf } from "../base/random.ts";
import { drawQuestion } from "../data/world/questions.ts";
import type { World } from "../data/world/world.ts";
import type { Question } from "../protocol/question.ts";
import type { StageConfig } from "./config.ts";

export interface Stage extends StageConfig {
  readonly index: number;
  readonly firstStep: number;
  /** One past its last step. */
  readonly endStep: number;
}

export interface QuestionRequest {
  readonly step: number;
  readonly stage: Stage;
  readonly count: number;
}

/** Gives `count` questions; the same request gives the same questions. */
export type QuestionSource = (request: QuestionRequest) => readonly Question[];

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

export function createCurriculum(
  configs: readonly StageConfig[],
  { batch, source }: { readonly batch: number; readonly source: QuestionSource },
): Curriculum {
  let firstStep = 0;
  const stages = configs.map((config, index): Stage => {
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

/** Fresh questions over fictional worlds, in the shares of the stage's mix; no two of a step are alike. */
export function worldSource(worlds: readonly World[], seed: number): QuestionSource {
  return ({ step, stage, count }) => {
    const { mix } = stage;
    if (!mix || Object.values(mix).every((share) => !share)) {
      throw new ConfigError(`stage "${stage.name}" has no mix of question types`, {
        hint: "for example mix: { 1-hop: 0.5, 2-hop: 0.5 }",
      });
    }
    const random = randomOf(seed, "questions", stage.name, step);
    const seen = new Set<string>();
    const questions: Question[] = [];
    for (let tries = 0; questions.length < count; tries++) {
      if (tries > 100 * count)
        throw new ConfigError(`the worlds hold fewer than ${count} different questions of stage "${stage.name}"`);
      const world = worlds[(step * count + questions.length) % worlds.length]!;
      const { text, answer, type } = drawQuestion(world, random, { mix });
      if (seen.has(text)) continue;
      seen.add(text);
      questions.push({ id: `${world.id}/${step}-${questions.length}`, text, gold: [answer], type, source: world.id });
    }
    return questions;
  };
}

/** A list, shuffled anew for every pass; each question comes once in a pass, counted from the start of the stage. */
export function listSource(questionsOf: (stage: Stage) => readonly Question[], seed: number): QuestionSource {
  const orders = new Map<string, readonly Question[]>();
  const orderOf = (stage: Stage, pass: number) => {
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
