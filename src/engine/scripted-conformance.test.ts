import { test } from "vitest";
import { randomOf } from "../base/random.ts";
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
