/** @file A suite that passes a planted fault has stopped checking. */
import { AssertionError } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { BigramEngine } from "../bigram.ts";
import type { EngineCapabilities, Learner, Sample, Sampler } from "../engine.ts";
import { type EngineUnderTest, engineConformance } from "./conformance.ts";
import { tinyOnnxEngine } from "./tiny-onnx.ts";

const folder = mkdtempSync(join(tmpdir(), "planted-faults-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the one check whose name holds `check` on an engine that a fault was put into. */
async function runWith(check: string, spoil: (engine: EngineUnderTest) => Partial<EngineUnderTest>): Promise<void> {
  const make = async () => {
    const engine = await tinyOnnxEngine(folder, 1);
    return { ...engine, ...spoil(engine) };
  };
  const found = engineConformance("spoilt", make).filter(({ name }) => name.includes(check));
  if (found.length !== 1) throw new Error(`${found.length} checks are called "${check}"`);
  await found[0]!.run();
}

const sampler = (change: (sampler: Sampler) => Partial<Sampler>) => (engine: EngineUnderTest) => ({
  publish: async () => {
    const made = await engine.publish();
    return { ...made, ...change(made) };
  },
});
const samples = (change: (sample: Sample) => Partial<Sample>) =>
  sampler(({ sample }) => ({
    sample: async (request, signal) => {
      const made = await sample(request, signal);
      return { ...made, ...change(made) };
    },
  }));
/** The learner's methods as they are, but for those that are given. */
function wholeOf(real: Learner, change: Partial<Learner>): Learner {
  return {
    capabilities: real.capabilities,
    forwardBackward: (batch, loss) => real.forwardBackward(batch, loss),
    optimStep: (spec) => real.optimStep(spec),
    logprobs: (batch) => real.logprobs(batch),
    publish: () => real.publish(),
    save: (directory) => real.save(directory),
    load: (directory) => real.load(directory),
    close: () => real.close(),
    ...(real.forget ? { forget: (reference: string) => real.forget!(reference) } : {}),
    ...change,
  };
}
const learner = (change: (learner: Learner) => Partial<Learner>) => (engine: EngineUnderTest) => {
  const whole = wholeOf(engine.learner!, {});
  return { learner: { ...whole, ...change(whole) } };
};

function withCapabilities(real: Learner, change: Partial<EngineCapabilities>): Learner {
  return wholeOf(real, { capabilities: { ...real.capabilities, ...change } });
}

const faults: [check: string, fault: string, spoil: (engine: EngineUnderTest) => Partial<EngineUnderTest>][] = [
  ["ids of the vocabulary", "an id too many", samples(({ tokens }) => ({ tokens: Int32Array.of(...tokens, 1) }))],
  [
    "a stop token ends a sample",
    "stop tokens are ignored",
    sampler(({ sample }) => ({ sample: (request) => sample({ ...request, stop: { tokens: [], text: [] } }) })),
  ],
  [
    "a stop text ends a sample",
    "stop texts are ignored",
    sampler(({ sample }) => ({ sample: (request) => sample({ ...request, stop: { tokens: [], text: [] } }) })),
  ],
  [
    "any other part of the key another",
    "the turn is not in the key",
    sampler(({ sample }) => ({ sample: (request) => sample({ ...request, key: { ...request.key, turn: 0 } }) })),
  ],
  [
    "a signal that is raised already",
    "the signal is ignored",
    sampler(({ sample }) => ({ sample: (request) => sample(request) })),
  ],
  [
    "an aborted sample rejects at once",
    "the signal is ignored once sampling has begun",
    sampler(({ sample }) => ({
      sample: (request, signal) => (signal?.aborted ? Promise.reject(signal.reason) : sample(request)),
    })),
  ],
  [
    "sampled log-probabilities are the learner's",
    "a part in ten thousand",
    samples(({ logprobs }) => ({ logprobs: logprobs.map((one) => one * 1.0001) })),
  ],
  [
    "a loss is the sum",
    "a mean over sequences",
    learner(({ forwardBackward }) => ({
      forwardBackward: async (batch, loss) => {
        const report = await forwardBackward(batch, loss);
        return { ...report, loss: report.loss / batch.length };
      },
    })),
  ],
  [
    "tokens of weight 0",
    "a little is learnt from them",
    learner(({ forwardBackward }) => ({
      forwardBackward: (batch, loss) =>
        forwardBackward(
          batch.map((one) => ({ ...one, weights: one.weights.map((weight, t) => weight || (t > 0 ? 1e-3 : 0)) })),
          loss,
        ),
    })),
  ],
  [
    "an optimiser step without a gradient",
    "weights decay all the same",
    learner(({ optimStep }) => ({ optimStep: (spec) => optimStep({ ...spec, weightDecay: 0.1 }) })),
  ],
  [
    "a gradient that is not finite",
    "it is said to be applied",
    learner(({ optimStep }) => ({ optimStep: async (spec) => ({ ...(await optimStep(spec)), applied: true }) })),
  ],
  [
    "learning makes what had a positive advantage likelier",
    "the sign is wrong",
    learner(({ forwardBackward }) => ({
      forwardBackward: (batch, loss) =>
        forwardBackward(
          batch.map((one) => ({ ...one, advantages: one.advantages.map((value) => -value) })),
          loss,
        ),
    })),
  ],
  ["load gives back what save wrote", "load does nothing", learner(() => ({ load: async () => {} }))],
  ["carries the version of the sampler", "a number of its own", samples(() => ({ policyVersion: 4 }))],
  [
    "the most likely tokens are reported",
    "the least likely of them first",
    samples(({ topLogprobs }) =>
      topLogprobs
        ? { topLogprobs: topLogprobs.map(({ ids, logprobs }) => ({ ids, logprobs: logprobs.toReversed() })) }
        : {},
    ),
  ],
  [
    "calls take effect in call order",
    "a gradient is computed a little later",
    learner(({ forwardBackward }) => ({
      forwardBackward: async (batch, loss) => {
        await nextTurn();
        return forwardBackward(batch, loss);
      },
    })),
  ],
  [
    "a call that fails does not hold up",
    "calls are chained, and the chain breaks",
    learner(({ load, logprobs }) => {
      let last: Promise<unknown> = Promise.resolve();
      const chained = <T>(call: () => Promise<T>): Promise<T> => {
        const result = last.then(call);
        last = result.catch((cause: unknown) => {
          throw new AssertionError({ message: "it was held up", actual: cause });
        });
        last.catch(() => {});
        return result;
      };
      return {
        load: (directory) => chained(() => load(directory)),
        logprobs: (batch) => chained(() => logprobs(batch)),
      };
    }),
  ],
  [
    "capabilities are kept",
    "a context that the sampler does not have",
    ({ learner: real }) => ({ learner: withCapabilities(real!, { contextLength: 7 }) }),
  ],
  ["a saved policy is in its folder", "nothing is written", learner(() => ({ save: async () => {} }))],
  ["publish gives a later version", "versions do not count", sampler(() => ({ policyVersion: 1 }))],
];

test.each(faults)("%s: a fault is found: %s", async (check, _, spoil) => {
  await expect(runWith(check, spoil)).rejects.toMatchObject({ code: "ERR_ASSERTION" });
});

test("a remote reference that outlives its forgetting is found", async () => {
  const bytesOf = (id: number) => Uint8Array.of(id);
  const engine = new BigramEngine({ vocabSize: 97, bytesOf, server: new Map() });
  const made = { vocabSize: 97, bytesOf, publish: () => engine.publish(), close: () => engine.close() };
  const spoilt = wholeOf(engine, { forget: async () => {} });
  const [check] = engineConformance("remote", async () => ({ ...made, learner: spoilt })).filter(({ name }) =>
    name.includes("a saved policy is in its folder"),
  );
  await expect(check!.run()).rejects.toMatchObject({ code: "ERR_ASSERTION" });
});
