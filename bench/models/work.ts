/** @file One step of training a real model as a workload of fixed lengths, and what a peer must know to do the same. */
import { writeFileSync } from "node:fs";
import { toJson } from "../../src/base/jsonl.ts";
import { type Random, randomOf } from "../../src/base/random.ts";
import type { Sampler, TrainingSequence } from "../../src/engine/engine.ts";
import type { ModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { shapeOf } from "../nano/model.ts";
import { plainSequence } from "../nano/step.ts";

export interface Sizes {
  readonly questions: number;
  readonly siblings: number;
}

/** What an attempt is made of, in tokens; the policy writes, gets documents, and writes again. */
interface Script {
  readonly group: number;
  readonly sibling: number;
  readonly prompt: Int32Array;
  readonly query: number;
  readonly documents: Int32Array;
  readonly answer: number;
}

export interface Attempt {
  readonly group: number;
  readonly tokens: Int32Array;
  readonly runs: readonly (readonly [author: string, length: number])[];
  /** Of what the policy wrote, in order. */
  readonly logprobs: readonly number[];
}

/** Lengths as in a run of recipes/smollm2-135m.yaml in stage 2: a prompt of 490, documents of about 120, 70 written. */
export function scripts({ questions, siblings }: Sizes, vocabSize: number): Script[] {
  const random = randomOf("bench", "models");
  const between = (from: number, to: number) => from + random.int(to - from + 1);
  return Array.from({ length: questions }, (_, group) => {
    const prompt = ids(random, between(477, 506), vocabSize);
    return Array.from(
      { length: siblings },
      (_, sibling): Script => ({
        ...{ group, sibling, prompt },
        query: between(30, 55),
        documents: ids(random, between(90, 150), vocabSize),
        answer: between(18, 36),
      }),
    );
  }).flat();
}

const ids = (random: Random, length: number, vocabSize: number) =>
  Int32Array.from({ length }, () => random.int(vocabSize));

/** All attempts at once, turn by turn. */
export function sampleAll(sampler: Sampler, all: readonly Script[], step: number): Promise<Attempt[]> {
  return Promise.all(
    all.map(async ({ group, sibling, prompt, query, documents, answer }) => {
      const key = (turn: number) => ({ seed: 1, step, question: group, sibling, turn });
      const write = (tokens: Int32Array, maxTokens: number, turn: number) => {
        const limits = { maxTokens, temperature: 1, topP: 1, topK: 0, stop: { tokens: [], text: [] } };
        return sampler.sample({ ...limits, tokens, key: key(turn) });
      };
      const first = await write(prompt, query, 0);
      const second = await write(Int32Array.of(...prompt, ...first.tokens, ...documents), answer, 1);
      sampler.finished?.(key(1));
      return {
        group,
        tokens: Int32Array.of(...prompt, ...first.tokens, ...documents, ...second.tokens),
        runs: [
          ["prompt", prompt.length],
          ["policy", query],
          ["search", documents.length],
          ["policy", answer],
        ],
        logprobs: [...first.logprobs, ...second.logprobs],
      };
    }),
  );
}

/** What is learnt from attempts: advantages of both signs, every written token with the same weight. */
export function toUpdate(attempts: readonly Attempt[]): TrainingSequence[] {
  const written = attempts.reduce((sum, { logprobs }) => sum + logprobs.length, 0);
  return attempts.map(({ tokens, runs, logprobs }, i) => {
    const weights = new Float32Array(tokens.length);
    const oldLogprobs = new Float32Array(tokens.length);
    let [at, nth] = [0, 0];
    for (const [author, length] of runs) {
      if (author === "policy") {
        weights.fill(1 / written, at, at + length);
        oldLogprobs.set(logprobs.slice(nth, nth + length), at);
        nth += length;
      }
      at += length;
    }
    return { tokens, weights, advantages: new Float32Array(tokens.length).fill(i % 2 === 0 ? 1 : -0.5), oldLogprobs };
  });
}

/** The file that a peer reads. */
export function describeWork(
  file: string,
  { model, config, context }: { readonly model: string; readonly config: ModelConfig; readonly context: number },
  work: { readonly attempts: readonly Attempt[]; readonly updates: readonly (readonly TrainingSequence[])[] },
): void {
  const attempts = work.attempts.map(({ group, tokens, runs }) => ({ group, tokens: Array.from(tokens), runs }));
  const updates = work.updates.map((update) => update.map(plainSequence));
  writeFileSync(file, toJson({ model, config: shapeOf(config), context, attempts, updates }));
}
