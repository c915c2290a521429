/** @file Does the engine keep its two promises on this machine? Tried with the bundled policy; takes a few seconds. */
import { evaluationMix, worldQuestions } from "../../data/world/questions.ts";
import type { Sample, Sampler } from "../../engine/engine.ts";
import { openEngine } from "./open-engine.ts";
import { bundled, exampleWorld, type OpenPolicy } from "./open-policy.ts";

export interface SelfTest {
  /** A sequence has the same tokens and log-probabilities alone and in a batch. */
  readonly sameInBatch: boolean;
  /** The largest difference between a log-probability when sampled and when learnt from, in nats. */
  readonly largestDifference: number;
  readonly tokens: number;
}

const questions = 12;
const maxTokens = 60;

export async function selfTest(): Promise<SelfTest> {
  const policy = await openEngine(bundled("nano"), { training: false, concurrency: questions });
  try {
    const together = await sampleAll(policy, await policy.sampler(), true);
    const alone = await sampleAll(policy, await policy.sampler(), false);
    const sequences = together.map(({ prompt, sample }) => Int32Array.of(...prompt, ...sample.tokens));
    const scored = await policy.learner!.logprobs(sequences);
    let largestDifference = 0;
    for (const [i, { prompt, sample }] of together.entries()) {
      for (const [at, logprob] of sample.logprobs.entries()) {
        const learnt = scored[i]![prompt.length + at - 1]!;
        largestDifference = Math.max(largestDifference, Math.abs(logprob - learnt));
      }
    }
    return {
      sameInBatch: together.every(({ sample }, i) => isSame(sample, alone[i]!.sample)),
      largestDifference,
      tokens: together.reduce((sum, { sample }) => sum + sample.tokens.length, 0),
    };
  } finally {
    await policy.close();
  }
}

async function sampleAll({ promptFor, tokenizer }: OpenPolicy, sampler: Sampler, atOnce: boolean) {
  const asked = worldQuestions([exampleWorld()], questions, { seed: 2, mix: evaluationMix });
  const one = async (i: number): Promise<{ prompt: Int32Array; sample: Sample }> => {
    const prompt = promptFor(asked[i]!);
    const key = { seed: 1, step: 0, question: i, sibling: 0, turn: 0 };
    const stop = { tokens: tokenizer.eosIds, text: [] };
    const sample = await sampler.sample({ tokens: prompt, maxTokens, temperature: 1, topP: 1, topK: 0, stop, key });
    sampler.finished?.(key);
    return { prompt, sample };
  };
  if (atOnce) return Promise.all(asked.map((_, i) => one(i)));
  const results = [];
  for (const i of asked.keys()) results.push(await one(i));
  return results;
}

function isSame(a: Sample, b: Sample): boolean {
  return (
    a.tokens.length === b.tokens.length &&
    a.tokens.every((id, i) => id === b.tokens[i] && a.logprobs[i] === b.logprobs[i])
  );
}
