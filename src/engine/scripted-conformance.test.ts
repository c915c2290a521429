import { test } from "vitest";
import { randomOf } from "../base/random.ts";
import { BigramEngine } from "./bigram.ts";
import { ScriptedSampler } from "./scripted.ts";
import { engineConformance } from "./testing/conformance.ts";

const vocabSize = 97;
const bytesOf = (id: number) => Uint8Array.of(id);

async function make() {
  const sampler = new ScriptedSampler({
    bytesOf,
    replies: ({ key: { seed, step, question, sibling, turn } }) => {
      const random = randomOf(seed, step, question, sibling, turn);
      return Array.from({ length: 40 }, () => random.int(vocabSize));
    },
  });
  return { vocabSize, bytesOf, publish: async () => sampler, close: async () => {} };
}

// a script answers at once and takes every request as it comes
const without = ["learning", "abort midway", "context", "refusal"] as const;
for (const { name, run } of engineConformance("scripted", make, { without })) test(name, run);

function makeBigram(server?: ConstructorParameters<typeof BigramEngine>[0]["server"]) {
  const learner = new BigramEngine({ vocabSize, bytesOf, ...(server ? { server } : {}) });
  const publish = () => learner.publish();
  return async () => ({ vocabSize, bytesOf, learner, publish, close: () => learner.close() });
}

// the same engine with its weights in the folder, and with a reference to weights elsewhere
for (const { name, run } of [
  ...engineConformance("bigrams", () => makeBigram()()),
  ...engineConformance("bigrams, remote", () => makeBigram(new Map())()),
]) {
  test(name, run);
}
