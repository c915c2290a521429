/** @file A suite that passes a planted fault has stopped checking. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Learner, Sample, Sampler } from "../engine.ts";
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
const learner = (change: (learner: Learner) => Partial<Learner>) => (engine: EngineUnderTest) => {
  const real = engine.learner!;
  const whole: Learner = {
    forwardBackward: (batch, loss) => real.forwardBackward(batch, loss),
    optimStep: (spec) => real.optimStep(spec),
    logprobs: (batch) => real.logprobs(batch),
    publish: () => real.publish(),
    save: (directory) => real.save(directory),
    load: (directory) => real.load(directory),
    close: () => real.close(),
  };
  return { learner: { ...whole, ...change(whole) } };
};

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
  ["publish gives a later version", "versions do not count", sampler(() => ({ policyVersion: 1 }))],
];

test.each(faults)("%s: a fault is found: %s", async (check, _, spoil) => {
  await expect(runWith(check, spoil)).rejects.toMatchObject({ code: "ERR_ASSERTION" });
});
