/**
 * @file A whole run in miniature: a learner of three numbers that hears gradients, a rollout that samples keyed words
 * from it, a reward. It has all the state that a real run has, so that losing any of it shows.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { uniform } from "../../base/random.ts";
import type { Learner, LossReport, LossSpec, OptimReport, Sampler, TrainingSequence } from "../../engine/engine.ts";
import { klEstimate } from "../../engine/loss.ts";
import { plainCapabilities } from "../../engine/plain-capabilities.ts";
import type { Question } from "../../protocol/question.ts";
import type { Stop, Trajectory } from "../../rollout/trajectory.ts";
import { EstimatorConfig, LossConfig, OptimizerConfig, StageConfig, type TrainerConfig } from "../config.ts";
import { createCurriculum } from "../curriculum.ts";
import type { Keeper, RolloutRequest, TrainerParts } from "../parts.ts";

const WORDS = 3;

export class TinyLearner implements Learner {
  readonly capabilities = plainCapabilities;
  logits = new Float64Array(WORDS);
  momentum = new Float64Array(WORDS);
  gradient = new Float64Array(WORDS);
  version = 0;
  updates = 0;
  /** Which updates (from 0) meet a gradient that is not finite. */
  broken: (update: number) => boolean = () => false;
  calls = 0;
  readonly batches: (readonly TrainingSequence[])[] = [];
  readonly losses: LossSpec[] = [];

  /** Heeds of a loss its KL term alone: nothing is clipped. */
  async forwardBackward(batch: readonly TrainingSequence[], spec: LossSpec): Promise<LossReport> {
    this.batches.push(batch);
    this.losses.push(spec);
    const kl = spec.kind === "ppo" ? spec.kl : undefined;
    let loss = 0;
    const logprobs = batch.map(({ tokens, weights, advantages, referenceLogprobs }) =>
      Float32Array.from(tokens, (word, t) => {
        const weight = weights[t]!;
        if (weight === 0) return 0;
        const probabilities = this.probabilities();
        const logprob = Math.log(probabilities[word]!);
        const pull = kl ? klEstimate(kl.kind, logprob, referenceLogprobs![t]!) : { value: 0, slope: 0 };
        const ascent = advantages[t]! - (kl?.coefficient ?? 0) * pull.slope;
        loss -= weight * (advantages[t]! - (kl?.coefficient ?? 0) * pull.value);
        for (let w = 0; w < WORDS; w++) {
          this.gradient[w]! -= weight * ascent * (Number(w === word) - probabilities[w]!);
        }
        return logprob;
      }),
    );
    return { loss, logprobs };
  }

  async optimStep({ learningRate }: { readonly learningRate: number }): Promise<OptimReport> {
    const isBroken = this.broken(this.calls++);
    const gradNorm = isBroken ? Number.NaN : Math.hypot(...this.gradient);
    if (!isBroken) {
      for (let w = 0; w < WORDS; w++) {
        this.momentum[w] = 0.9 * this.momentum[w]! + this.gradient[w]!;
        this.logits[w]! -= learningRate * this.momentum[w]!;
      }
      this.updates++;
    }
    this.gradient.fill(0);
    return { gradNorm, applied: !isBroken };
  }

  /** The same for a word wherever it stands; 0 for what is no word. */
  async logprobs(batch: readonly Int32Array[]): Promise<readonly Float32Array[]> {
    const words = this.probabilities().map(Math.log);
    return batch.map((tokens) => Float32Array.from(tokens.subarray(1), (word) => words[word] ?? 0));
  }

  async publish(): Promise<Sampler> {
    return { policyVersion: ++this.version, contextLength: 64, sample: () => Promise.reject(new Error("not used")) };
  }

  async save(directory: string): Promise<void> {
    mkdirSync(join(directory, "inner"), { recursive: true });
    writeFileSync(join(directory, "config.json"), "{}");
    writeFileSync(join(directory, "weights.json"), JSON.stringify([...this.logits]));
    writeFileSync(join(directory, "inner", "optimizer.json"), JSON.stringify([...this.momentum, this.updates]));
  }

  async load(directory: string): Promise<void> {
    this.logits = Float64Array.from(JSON.parse(readFileSync(join(directory, "weights.json"), "utf8")));
    const state: number[] = JSON.parse(readFileSync(join(directory, "inner", "optimizer.json"), "utf8"));
    this.momentum = Float64Array.from(state.slice(0, WORDS));
    this.updates = state[WORDS]!;
  }

  async close(): Promise<void> {}

  probabilities(): number[] {
    const all = [...this.logits].map(Math.exp);
    return all.map((one) => one / all.reduce((sum, other) => sum + other, 0));
  }
}

export interface TrajectoryOptions {
  readonly question?: Question;
  readonly sibling?: number;
  readonly stop?: Stop;
  readonly policyVersion?: number;
  /** Policy tokens before and after two tokens of search. */
  readonly words?: readonly number[];
  readonly logprob?: number;
  readonly queries?: readonly string[];
}

export const someQuestion: Question = { id: "q", text: "Where was Dekgun born?", gold: ["Poktun"] };

/** Two prompt tokens, the words, two search tokens, the words again. */
export function trajectory(options: TrajectoryOptions = {}): Trajectory {
  const {
    question = someQuestion,
    sibling = 0,
    stop = "answered",
    policyVersion = 1,
    words = [0, 1],
    logprob = -1,
    queries = [],
  } = options;
  const tokens = Int32Array.from([1, 2, ...words, 9, 9, ...words]);
  return {
    question,
    sibling,
    stop,
    policyVersion,
    tape: {
      tokens,
      runs: [
        { author: "prompt", length: 2 },
        { author: "policy", length: words.length },
        { author: "search", length: 2 },
        { author: "policy", length: words.length },
      ],
    },
    transcript: [],
    logprobs: Float32Array.from(tokens, (_, t) =>
      t < 2 || t === 2 + words.length || t === 3 + words.length ? 0 : logprob,
    ),
    searches: queries.map((query) => ({ query, passageIds: ["p"], part: 0 })),
  };
}

export const stages = [
  { name: "stage-1", steps: 4 },
  { name: "stage-2", steps: 6 },
].map((stage) => StageConfig.parse({ ...stage, reward: "fixed/stage-1" }));

export function config(overrides: Partial<TrainerConfig> = {}): TrainerConfig {
  return {
    estimator: EstimatorConfig.parse({}),
    loss: LossConfig.parse({}),
    optimizer: OptimizerConfig.parse({ learningRate: 0.04, warmupSteps: 2 }),
    stepsPerRollout: 2,
    maxLag: 0,
    evalEvery: 3,
    checkpointEvery: 2,
    ...overrides,
  };
}

export const noKeeper: Keeper = {
  record: async () => {},
  save: async () => {},
  rollBack: () => Promise.reject(new Error("nothing to go back to")),
};

/** Rewards the share of word 2. */
export function tinyParts(learner: TinyLearner, overrides: Partial<TrainerParts> = {}): TrainerParts {
  const source = ({ step, count }: { readonly step: number; readonly count: number }) =>
    Array.from(
      { length: count },
      (_, i): Question => ({ id: `${step}-${i}`, text: `What is ${step} plus ${i}?`, gold: ["x"] }),
    );
  return {
    learner,
    keeper: noKeeper,
    config: config(),
    curriculum: createCurriculum(stages, { batch: 3, source }),
    rollOut: async (questions, request) =>
      questions.map((question, b) => Array.from({ length: 4 }, (_, g) => speak(learner, question, b, g, request))),
    score: ({ tape }) => {
      const total = tape.tokens.slice(2, 5).filter((word) => word === 2).length / 3;
      return { total, parts: [{ rule: "twos", value: total, because: "counted" }] };
    },
    evaluate: async ({ scope }) => {
      const score = learner.probabilities()[2]!;
      return { score, metrics: { [scope === "full" ? "eval_full/p" : "eval/p"]: score } };
    },
    ...overrides,
  };
}

function speak(
  learner: TinyLearner,
  question: Question,
  b: number,
  sibling: number,
  request: RolloutRequest,
): Trajectory {
  const { step, firstQuestion, rollbacks, sampler } = request;
  const probabilities = learner.probabilities();
  const words = Array.from({ length: 3 }, (_, position) => {
    let draw = uniform([step, firstQuestion + b, sibling, position, rollbacks]);
    return probabilities.findIndex((p) => (draw -= p) < 0);
  }).map((word) => (word < 0 ? 2 : word));
  const made = trajectory({
    question,
    sibling,
    words,
    policyVersion: sampler.policyVersion,
    queries: words.map((word) => `word ${word}`),
  });
  let at = 0;
  const logprobs = made.logprobs.map((value, t) =>
    value === 0 ? 0 : Math.log(probabilities[words[at++ % 3]!]!) + 0 * t,
  );
  return { ...made, logprobs };
}
