/** @file What every learner must do. Each check gets a fresh engine, whose optimiser has seen nothing. */
import { deepStrictEqual, notDeepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import type { LossSpec, Sample, SampleRequest, Sampler, TrainingSequence } from "../engine.ts";
import { tokenLoss } from "../loss.ts";
import {
  adam,
  close,
  closeNumbers,
  crossEntropy,
  type EngineCheck,
  inFolder,
  type LearningSubject,
  ppo,
  same,
  sampleOnce,
  someBatch,
  someRequest,
  someTokens,
} from "./subject.ts";

const scores: EngineCheck<LearningSubject>[] = [
  {
    what: "sampled log-probabilities are the learner's, at temperature 1 and over the whole vocabulary",
    body: async (subject) => {
      const sampler = await subject.publish();
      for (const change of [{}, { temperature: 0.6, topK: 5 }, { temperature: 1.5, topP: 0.8 }]) {
        await agreeOverTwoTurns(subject, sampler, change);
      }
    },
  },
  {
    what: "a log-probability does not feel the rest of the batch, nor what comes later on the tape",
    body: async (subject) => {
      const { learner } = subject;
      const tapes = [13, 8, 21].map((length) => someTokens(subject, `tape of ${length}`, length));
      const together = await learner.logprobs(tapes);
      for (const [i, tape] of tapes.entries()) close(subject, await learner.logprobs([tape]), [together[i]!]);
      const cut = tapes.map((tape) => tape.slice(0, 5));
      close(
        subject,
        await learner.logprobs(cut),
        together.map((row) => row.subarray(0, 4)),
      );
      deepStrictEqual(await learner.logprobs([]), []);
    },
  },
  {
    what: "a loss is the sum over tokens of weight times term, and its report says under which log-probabilities",
    body: async (subject) => {
      const batch = await someBatch(subject);
      for (const loss of [crossEntropy, ppo]) {
        const report = await subject.learner.forwardBackward(batch, loss);
        closeNumbers(subject, report.loss, lossOf(batch, report.logprobs, loss), loss.kind);
        const logprobs = await subject.learner.logprobs(batch.map(({ tokens }) => tokens));
        const weighted = batch.map(({ weights }, s) => weights.map((w, t) => (w === 0 ? 0 : logprobs[s]![t - 1]!)));
        close(subject, report.logprobs, weighted);
        const twice = batch.map((one) => ({ ...one, weights: one.weights.map((weight) => 2 * weight) }));
        const doubled = await subject.learner.forwardBackward(twice, loss);
        closeNumbers(subject, doubled.loss, 2 * report.loss, `${loss.kind} at twice the weight`);
      }
    },
  },
];

const gradients: EngineCheck<LearningSubject>[] = [
  {
    what: "tokens of weight 0 are not learnt from, whatever stands beside them",
    body: async (subject) => {
      const batch = await someBatch(subject);
      const elsewhere = batch.map((one) => ({
        ...one,
        advantages: one.advantages.map((value, t) => (one.weights[t] === 0 ? 1000 : value)),
        oldLogprobs: one.oldLogprobs.map((value, t) => (one.weights[t] === 0 ? -50 : value)),
      }));
      const laterTokens = batch.map((one) => ({
        ...one,
        tokens: one.tokens.map((id, t) => (t >= one.tokens.length - 2 ? (id + 1) % subject.vocabSize : id)),
      }));
      const nothing = batch.map((one) => ({ ...one, weights: one.weights.map(() => 0) }));
      const expected = await measure(subject, batch);
      ok(expected.gradNorm > 0);
      for (const changed of [elsewhere, laterTokens]) {
        const { loss, gradNorm } = await measure(subject, changed);
        closeNumbers(subject, loss, expected.loss, "the loss");
        closeNumbers(subject, gradNorm, expected.gradNorm, "the norm of the gradient");
      }
      deepStrictEqual(await measure(subject, nothing), { loss: 0, gradNorm: 0 });
      const tapes = batch.map(({ tokens }) => tokens);
      same(subject, await learnt(subject, elsewhere, tapes), await learnt(subject, batch, tapes));
    },
  },
  {
    what: "gradients of several batches add up until the optimiser step, which clears them",
    body: async (subject) => {
      const { learner } = subject;
      const batch = await someBatch(subject);
      const { gradNorm } = await measure(subject, batch);
      for (const one of batch) await learner.forwardBackward([one], ppo);
      const apart = await learner.optimStep({ ...adam, learningRate: 0 });
      closeNumbers(subject, apart.gradNorm, gradNorm, "the norm of the gradient of the same batch in parts");
      strictEqual((await learner.optimStep({ ...adam, learningRate: 0 })).gradNorm, 0);
    },
  },
  {
    what: "an optimiser step without a gradient changes nothing",
    body: async (subject) => {
      const { learner } = subject;
      const batch = await someBatch(subject);
      const before = await logprobs(subject);
      strictEqual((await learner.optimStep(adam)).gradNorm, 0);
      await learner.forwardBackward(
        batch.map((one) => ({ ...one, advantages: one.advantages.map(() => 0) })),
        ppo,
      );
      strictEqual((await learner.optimStep(adam)).gradNorm, 0);
      same(subject, await logprobs(subject), before);
    },
  },
  {
    what: "a gradient that is not finite is refused and leaves no trace",
    body: (subject) =>
      inFolder(async (folder) => {
        const { learner } = subject;
        const batch = await someBatch(subject);
        await step(subject, batch);
        await learner.save(folder);
        const before = await logprobs(subject);
        for (const { poisoned, loss } of poisons(batch)) {
          await learner.forwardBackward(poisoned, loss);
          const report = await learner.optimStep(adam);
          strictEqual(report.applied, false, `a poisoned ${loss.kind} was applied`);
          ok(!Number.isFinite(report.gradNorm));
          deepStrictEqual(await logprobs(subject), before);
        }
        await step(subject, batch);
        const after = await logprobs(subject);
        await learner.load(folder);
        await step(subject, batch);
        same(subject, after, await logprobs(subject));
      }),
  },
  {
    what: "learning makes what had a positive advantage likelier, and the rest less likely",
    body: async (subject) => {
      const [one] = await someBatch(subject);
      const before = weightedMean(one!, await subject.learner.logprobs([one!.tokens]));
      for (const sign of [1, -1]) {
        const batch = [{ ...one!, advantages: one!.advantages.map(() => sign) }];
        const after = weightedMean(one!, await learnt(subject, batch, [one!.tokens]));
        ok(sign * (after - before) > 0, `advantage ${sign}: the mean went from ${before} to ${after}`);
      }
    },
  },
];

const lifecycle: EngineCheck<LearningSubject>[] = [
  {
    what: "publish gives a later version that samples from the new weights, and the old one never does",
    body: async (subject) => {
      const old = await subject.publish();
      const first = await sampleOnce(old, someRequest(subject, 0));
      await step(subject, await someBatch(subject));
      const fresh = await subject.publish();
      ok(fresh.policyVersion > old.policyVersion);
      notDeepStrictEqual((await sampleOnce(fresh, someRequest(subject, 0))).logprobs, first.logprobs);
      await agreeOverTwoTurns(subject, fresh, {});
      const late = await old.sample(someRequest(subject, 0)).catch((error: Error) => error);
      if (late instanceof Error) strictEqual(late.name, "EngineError");
      else same(subject, [late.logprobs], [first.logprobs]);
    },
  },
  {
    what: "load gives back what save wrote, the optimiser's state included",
    body: (subject) =>
      inFolder(async (folder) => {
        const { learner } = subject;
        const batch = await someBatch(subject);
        await step(subject, batch);
        const saved = await logprobs(subject);
        await learner.save(folder);
        await step(subject, batch);
        const continued = await logprobs(subject);
        notDeepStrictEqual(continued, saved);
        await learner.forwardBackward(batch, ppo); // load drops it
        await learner.load(folder);
        same(subject, await logprobs(subject), saved);
        await step(subject, batch);
        same(subject, await logprobs(subject), continued);
      }),
  },
  {
    what: "a folder that holds no policy is refused, and the policy stays",
    body: (subject) =>
      inFolder(async (folder) => {
        const before = await logprobs(subject);
        await rejects(subject.learner.load(join(folder, "nothing")), { name: "EngineError" });
        await rejects(subject.learner.load(folder), { name: "EngineError" });
        same(subject, await logprobs(subject), before);
      }),
  },
  {
    what: "closing twice is fine, and work after it is an error",
    body: async (subject) => {
      const sampler = await subject.publish();
      await subject.learner.close();
      await subject.learner.close();
      await rejects(subject.learner.logprobs([Int32Array.of(1, 2)]), { name: "EngineError" });
      await rejects(sampler.sample(someRequest(subject, 0)), { name: "EngineError" });
    },
  },
];

export const learningChecks: readonly EngineCheck<LearningSubject>[] = [...scores, ...gradients, ...lifecycle];

/** Two turns of one attempt with tokens of the world between them; every sampled token is compared. */
async function agreeOverTwoTurns(subject: LearningSubject, sampler: Sampler, change: Partial<SampleRequest>) {
  const first = someRequest(subject, 0, { maxTokens: 10, ...change });
  const one = await sampler.sample(first);
  const tokens = Int32Array.of(...first.tokens, ...one.tokens, ...someTokens(subject, "world", 7));
  const second = { ...first, tokens, key: { ...first.key, turn: 1 } };
  const two = await sampleOnce(sampler, second);
  const [learner] = await subject.learner.logprobs([Int32Array.of(...tokens, ...two.tokens)]);
  const sampled = ({ tokens: { length } }: SampleRequest, { logprobs }: Sample) =>
    learner!.subarray(length - 1, length - 1 + logprobs.length);
  close(subject, [one.logprobs, two.logprobs], [sampled(first, one), sampled(second, two)]);
}

function lossOf(batch: readonly TrainingSequence[], logprobs: readonly Float32Array[], loss: LossSpec): number {
  let sum = 0;
  for (const [s, { weights, advantages, oldLogprobs }] of batch.entries()) {
    for (const [t, weight] of weights.entries()) {
      const terms = { logprob: logprobs[s]![t]!, oldLogprob: oldLogprobs[t]!, advantage: advantages[t]! };
      if (weight !== 0) sum += weight * tokenLoss(loss, terms).loss;
    }
  }
  return sum;
}

/** The loss and the norm of its gradient; the weights stay. */
async function measure({ learner }: LearningSubject, batch: readonly TrainingSequence[]) {
  const { loss } = await learner.forwardBackward(batch, ppo);
  const { gradNorm } = await learner.optimStep({ ...adam, learningRate: 0 });
  return { loss, gradNorm };
}

/** Cross-entropy unless told: its gradient does not vanish where a step went far, as the clipped one does. */
async function step(
  { learner }: LearningSubject,
  batch: readonly TrainingSequence[],
  loss: LossSpec = crossEntropy,
): Promise<void> {
  await learner.forwardBackward(batch, loss);
  const { applied, gradNorm } = await learner.optimStep(adam);
  ok(applied && gradNorm > 0 && Number.isFinite(gradNorm), `a step with gradient norm ${gradNorm} was not applied`);
}

/** Log-probabilities after one step, which is then taken back. */
function learnt(
  subject: LearningSubject,
  batch: readonly TrainingSequence[],
  tapes: readonly Int32Array[],
): Promise<readonly Float32Array[]> {
  return inFolder(async (folder) => {
    await subject.learner.save(folder);
    await step(subject, batch, ppo);
    const after = await subject.learner.logprobs(tapes);
    await subject.learner.load(folder);
    return after;
  });
}

/** Of tapes that no check trains on alone, so that any change of the weights shows. */
function logprobs(subject: LearningSubject): Promise<readonly Float32Array[]> {
  return subject.learner.logprobs([20, 11].map((length) => someTokens(subject, `probe of ${length}`, length)));
}

/** Gradients as they are after an overflow, by way of the weights, the advantages and the sampler. */
function poisons(batch: readonly TrainingSequence[]): { poisoned: TrainingSequence[]; loss: LossSpec }[] {
  const spoil = (key: "weights" | "advantages" | "oldLogprobs", value: number) =>
    batch.map((one) => ({ ...one, [key]: one[key].map((old, t) => (t === 3 ? value : old)) }));
  return [
    { poisoned: spoil("weights", Number.POSITIVE_INFINITY), loss: crossEntropy },
    { poisoned: spoil("weights", Number.NaN), loss: crossEntropy },
    { poisoned: spoil("advantages", Number.POSITIVE_INFINITY), loss: ppo },
    { poisoned: spoil("advantages", Number.NaN), loss: ppo },
    { poisoned: spoil("oldLogprobs", Number.NaN), loss: ppo },
  ];
}

function weightedMean({ weights }: TrainingSequence, [logprobs]: readonly Float32Array[]): number {
  const scored = [...weights.keys()].filter((t) => weights[t] !== 0);
  return scored.reduce((sum, t) => sum + logprobs![t - 1]!, 0) / scored.length;
}
