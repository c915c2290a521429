/** @file What every sampler must do. */
import { deepStrictEqual, notDeepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Sample, SampleRequest } from "../engine.ts";
import { type EngineCheck, type Subject, sampleOnce, someRequest, someTokens } from "./subject.ts";

const shapes: EngineCheck<Subject>[] = [
  {
    what: "a sample has ids of the vocabulary with their log-probabilities, at most maxTokens of them",
    body: async (subject) => {
      const sampler = await subject.publish();
      for (const maxTokens of [1, 2, 16]) {
        const { tokens, logprobs, ended } = await sampleOnce(sampler, someRequest(subject, 0, { maxTokens }));
        strictEqual(tokens.length, maxTokens);
        strictEqual(ended, "length");
        strictEqual(logprobs.length, tokens.length);
        ok(tokens.every((id) => Number.isInteger(id) && id >= 0 && id < subject.vocabSize));
        ok(logprobs.every((logprob) => Number.isFinite(logprob) && logprob <= 0));
      }
    },
  },
  {
    what: "a stop token ends a sample and stays in it",
    body: async (subject) => {
      const sampler = await subject.publish();
      const free = await sampleOnce(sampler, someRequest(subject, 0));
      const stop = { tokens: [free.tokens[5]!, free.tokens[9]!], text: [] };
      const sample = await sampleOnce(sampler, someRequest(subject, 0, { stop }));
      const end = free.tokens.findIndex((id) => stop.tokens.includes(id)) + 1;
      isStartOf(sample, free, end);
    },
  },
  {
    what: "a stop text ends a sample, however the tokens cut it",
    body: async (subject) => {
      const sampler = await subject.publish();
      const { sibling, free, text } = await readablePair(subject, (request) => sampleOnce(sampler, request));
      const stop = { tokens: [], text: ["\u0000never\u0000", text] };
      const sample = await sampleOnce(sampler, someRequest(subject, sibling, { stop }));
      const wanted = Buffer.from(text);
      const end = free.tokens.findIndex((_, i) => bytes(subject, free.tokens.subarray(0, i + 1)).includes(wanted)) + 1;
      const late = sample.tokens.length - end;
      ok(late >= 0 && late <= subject.overshoot, `the stop text was complete after ${end} tokens, ${late} more follow`);
      isStartOf(sample, free, end + late);
    },
  },
  {
    what: "a tape that fills the context ends there",
    needs: ["context"],
    body: async (subject) => {
      const sampler = await subject.publish();
      const tokens = someTokens(subject, "nearly full", sampler.contextLength - 3);
      const sample = await sampleOnce(sampler, someRequest(subject, 0, { tokens, maxTokens: 100 }));
      deepStrictEqual([sample.tokens.length, sample.ended], [3, "length"]);
    },
  },
  {
    what: "requests that cannot be sampled are refused, and harm no other",
    needs: ["refusal"],
    body: async (subject) => {
      const sampler = await subject.publish();
      const bad: Partial<SampleRequest>[] = [
        { tokens: new Int32Array() },
        { tokens: Int32Array.of(0, subject.vocabSize) },
        { tokens: Int32Array.of(0, -1) },
        { tokens: new Int32Array(sampler.contextLength) },
        { maxTokens: 0 },
        { temperature: Number.NaN },
      ];
      const good = sampler.sample(someRequest(subject, 0));
      for (const change of bad) {
        await rejects(sampler.sample(someRequest(subject, 1, change)), { name: "EngineError" });
      }
      strictEqual((await good).tokens.length, 16);
    },
  },
];

const repeats: EngineCheck<Subject>[] = [
  {
    what: "the same key gives the same sample, alone and in a batch; any other part of the key another",
    body: async (subject) => {
      const sampler = await subject.publish();
      const { key } = someRequest(subject, 0);
      const requests = [
        key,
        ...(["seed", "step", "question", "sibling", "turn"] as const).map((part) => ({
          ...key,
          [part]: key[part] + 1,
        })),
      ].map((changed) => someRequest(subject, 0, { key: changed }));
      const alone: Sample[] = [];
      for (const request of requests) alone.push(await sampleOnce(sampler, request));
      for (const other of alone.slice(1)) notDeepStrictEqual([...other.tokens], [...alone[0]!.tokens]);
      const together = await Promise.all([...requests].reverse().map((request) => sampler.sample(request)));
      equalSamples(subject, together.reverse(), alone);
    },
  },
  {
    what: "temperature 0 and the best token alone are greedy, whatever the key",
    needs: ["learning"],
    body: async (subject) => {
      const sampler = await subject.publish();
      const greedy = await sampleOnce(sampler, someRequest(subject, 0, { temperature: 0 }));
      const other = await sampleOnce(sampler, someRequest(subject, 1, { temperature: 0 }));
      const best = await sampleOnce(sampler, someRequest(subject, 2, { topK: 1 }));
      const narrow = await sampleOnce(sampler, someRequest(subject, 3, { topP: 1e-9 }));
      for (const { tokens } of [other, best, narrow]) deepStrictEqual(tokens, greedy.tokens);
    },
  },
];

const aborts: EngineCheck<Subject>[] = [
  {
    what: "a signal that is raised already refuses with its reason",
    body: async (subject) => {
      const sampler = await subject.publish();
      const reason = new Error("enough");
      await rejects(sampler.sample(someRequest(subject, 0), AbortSignal.abort(reason)), (error) => error === reason);
      strictEqual((await sampleOnce(sampler, someRequest(subject, 0))).tokens.length, 16);
    },
  },
  {
    what: "an aborted sample rejects at once with the signal's reason, and others do not feel it",
    needs: ["abort midway"],
    body: async (subject) => {
      const sampler = await subject.publish();
      const expected = await sampleOnce(sampler, someRequest(subject, 1));
      const maxTokens = Math.min(2000, sampler.contextLength - 9);
      const [now, soon] = [new AbortController(), new AbortController()];
      const long = sampler.sample(someRequest(subject, 0, { maxTokens })).then(() => "the long sample");
      const aborted = [now, soon].map(({ signal }, i) =>
        sampler.sample(someRequest(subject, i + 1, { maxTokens }), signal).catch((error: unknown) => error),
      );
      const reasons = [new Error("now"), new Error("soon")] as const;
      now.abort(reasons[0]);
      await nextTurn();
      soon.abort(reasons[1]);
      const first = await Promise.race([long, Promise.all(aborted)]);
      deepStrictEqual(first, [...reasons]);
      equalSamples(subject, [await sampleOnce(sampler, someRequest(subject, 1))], [expected]);
      strictEqual(await long, "the long sample");
    },
  },
];

export const samplingChecks: readonly EngineCheck<Subject>[] = [...shapes, ...repeats, ...aborts];

function bytes({ bytesOf }: Subject, tokens: Int32Array): Buffer {
  return Buffer.concat(Array.from(tokens, (id) => bytesOf(id)));
}

/** A free sample and the text of two neighbours in it, where that is text at all. */
async function readablePair(subject: Subject, sample: (request: SampleRequest) => Promise<Sample>) {
  for (let sibling = 0; sibling < 20; sibling++) {
    const free = await sample(someRequest(subject, sibling));
    for (let i = 3; i + 1 < free.tokens.length; i++) {
      const pair = bytes(subject, free.tokens.subarray(i, i + 2));
      const text = pair.toString("utf8");
      if (pair.length > 1 && Buffer.from(text).equals(pair)) return { sibling, free, text };
    }
  }
  throw new Error("20 samples hold no two neighbouring tokens that are text");
}

function isStartOf(sample: Sample, free: Sample, length: number): void {
  strictEqual(sample.ended, "stop");
  deepStrictEqual([...sample.tokens], [...free.tokens.subarray(0, length)]);
  strictEqual(sample.logprobs.length, length);
}

function equalSamples({ equalBits }: Subject, actual: readonly Sample[], expected: readonly Sample[]): void {
  if (equalBits) deepStrictEqual(actual, expected);
  else
    deepStrictEqual(
      actual.map(({ tokens }) => tokens),
      expected.map(({ tokens }) => tokens),
    );
}
