/** @file What the training loop and its checkpoints rely on beyond numbers: order, versions, capabilities, references. */
import { deepStrictEqual, notStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readRemoteReference } from "../remote-reference.ts";
import {
  adam,
  closeNumbers,
  crossEntropy,
  type EngineCheck,
  inFolder,
  type LearningSubject,
  ppo,
  type Subject,
  same,
  sampleOnce,
  someBatch,
  someRequest,
  someTokens,
} from "./subject.ts";

export const samplerPromises: readonly EngineCheck<Subject>[] = [
  {
    what: "every sample carries the version of the sampler that wrote it",
    body: async (subject) => {
      const sampler = await subject.publish();
      const sample = await sampleOnce(sampler, someRequest(subject, 0));
      strictEqual(sample.policyVersion, sampler.policyVersion);
    },
  },
  {
    what: "the most likely tokens are reported on request, and asking for them changes no sample",
    needs: ["top log-probabilities"],
    body: async (subject) => {
      const sampler = await subject.publish();
      const plain = await sampleOnce(sampler, someRequest(subject, 0));
      const { topLogprobs, ...asked } = await sampleOnce(sampler, someRequest(subject, 0, { topLogprobs: 5 }));
      strictEqual(plain.topLogprobs, undefined);
      if (subject.equalBits) deepStrictEqual(asked, plain);
      strictEqual(topLogprobs?.length, asked.tokens.length);
      for (const [t, { ids, logprobs }] of topLogprobs.entries()) {
        strictEqual(new Set(ids).size, 5);
        deepStrictEqual(
          [...logprobs].sort((a, b) => b - a),
          [...logprobs],
        );
        const mass = logprobs.reduce((sum, logprob) => sum + Math.exp(logprob), 0);
        ok(mass <= 1 + subject.tolerance, `the ${ids.length} most likely tokens have a probability of ${mass}`);
        const own = ids.indexOf(asked.tokens[t]!);
        if (own >= 0) closeNumbers(subject, logprobs[own]!, asked.logprobs[t]!, "the sampled token among the top");
        else ok(asked.logprobs[t]! <= logprobs.at(-1)! + subject.tolerance, "a likelier token was sampled");
      }
    },
  },
];

/** Two updates, scores between and after them, and a sample; every call is made before the first is awaited or not. */
async function work(subject: LearningSubject, folder: string, isAwaited: boolean) {
  const { learner } = subject;
  const tapes = [20, 11].map((length) => someTokens(subject, `probe of ${length}`, length));
  const batch = await someBatch(subject);
  const calls = [
    () => learner.forwardBackward(batch.slice(0, 2), crossEntropy),
    () => learner.forwardBackward(batch.slice(2), crossEntropy),
    () => learner.optimStep(adam),
    () => learner.logprobs(tapes),
    () => learner.save(folder),
    () => learner.forwardBackward(batch, ppo),
    () => learner.optimStep(adam),
    () => learner.logprobs(tapes),
    () => learner.load(folder),
    () => learner.logprobs(tapes),
  ] as const;
  const results: unknown[] = [];
  if (isAwaited) for (const call of calls) results.push(await call());
  else results.push(...(await Promise.all(calls.map((call) => call()))));
  type Reports = { gradNorm: number }[];
  return {
    norms: [results[2], results[6]].map((report) => (report as Reports[number]).gradNorm),
    scores: [results[3], results[7], results[9]].flatMap((rows) => rows as Float32Array[]),
  };
}

export const learnerPromises: readonly EngineCheck<LearningSubject>[] = [
  {
    what: "calls take effect in call order: pipelined and awaited they give the same norms, scores and weights",
    body: (subject) =>
      inFolder((start) =>
        inFolder(async (folder) => {
          await subject.learner.save(start);
          const awaited = await work(subject, folder, true);
          await subject.learner.load(start);
          const pipelined = await work(subject, folder, false);
          ok(awaited.norms.every((norm) => norm > 0));
          if (subject.equalBits) deepStrictEqual(pipelined.norms, awaited.norms);
          for (const [i, norm] of pipelined.norms.entries())
            closeNumbers(subject, norm, awaited.norms[i]!, "the norm of the gradient");
          same(subject, pipelined.scores, awaited.scores);
        }),
      ),
  },
  {
    what: "a call that fails does not hold up those after it",
    body: (subject) =>
      inFolder(async (folder) => {
        const tapes = [someTokens(subject, "probe", 12)];
        const before = await subject.learner.logprobs(tapes);
        const failing = rejects(subject.learner.load(join(folder, "nothing")), { name: "EngineError" });
        const [after] = await Promise.all([subject.learner.logprobs(tapes), failing]);
        same(subject, after, before);
      }),
  },
  {
    what: "capabilities are kept: every loss and optimiser that is named works, and the context is the sampler's",
    body: (subject) =>
      inFolder(async (fresh) => {
        const { learner } = subject;
        const { capabilities } = learner;
        await learner.save(fresh);
        const batch = await someBatch(subject);
        const held = batch.map((one) => ({ ...one, referenceLogprobs: one.oldLogprobs.map((value) => value - 0.1) }));
        const kls = capabilities.klTerms.map((kind) => ({ ...ppo, kl: { kind, coefficient: 0.1 } }) as const);
        const losses = { "cross-entropy": [crossEntropy], ppo: [ppo, ...kls] };
        for (const kind of capabilities.optimizers) {
          await learner.load(fresh); // the state of one optimiser is of no use to another
          for (const loss of capabilities.losses.flatMap((name) => [...losses[name]])) {
            await learner.forwardBackward(held, loss);
            const { applied, gradNorm } = await learner.optimStep({ ...adam, kind, learningRate: 0 });
            ok(applied && gradNorm > 0, `${loss.kind} with ${kind} was not applied`);
          }
        }
        strictEqual((await subject.publish()).contextLength, capabilities.contextLength);
        strictEqual(capabilities.trains.length, 1); // an open engine trains either the weights or an adapter
      }),
  },
  {
    what: "a saved policy is in its folder, or the folder refers to it until it is forgotten",
    body: (subject) =>
      inFolder(async (folder) => {
        const { learner } = subject;
        await learner.save(folder);
        notStrictEqual(readdirSync(folder).length, 0);
        const remote = readRemoteReference(folder);
        await learner.load(folder);
        if (remote === undefined) return;
        ok(learner.forget, "an engine that leaves references has to forget them");
        await learner.forget(remote.reference);
        await rejects(learner.load(folder), { name: "EngineError" });
      }),
  },
];
