import fc from "fast-check";
import { expect, test } from "vitest";
import { EngineError } from "../base/errors.ts";
import { lossMask } from "../protocol/tape.ts";
import { forEachPolicyRun, policyTokenCount, splitForUpdates, toBatch } from "./batch.ts";
import { trajectory } from "./testing/tiny-run.ts";

const options = { normaliser: "sequence", policyVersion: 1, maxLag: 0 } as const;
const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);

test("only what the policy wrote has weight, advantage or an old log-probability", () => {
  const one = trajectory({ words: [3, 4, 5] });
  const [sequence] = toBatch([{ trajectory: one, advantage: -2 }], options).sequences;
  const mask = [...lossMask(one.tape)];
  expect([...sequence!.weights].map((weight) => Number(weight !== 0))).toEqual(mask);
  expect([...sequence!.advantages]).toEqual(mask.map((policy) => (policy ? -2 : 0)));
  expect([...sequence!.oldLogprobs]).toEqual(mask.map((policy) => (policy ? -1 : 0)));
  expect(sequence!.tokens).toBe(one.tape.tokens);
});

test("weights add up to one share per attempt, or to one share per policy token", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }), (lengths) => {
      const attempts = lengths.map((length) => ({
        trajectory: trajectory({ words: Array(length).fill(1) }),
        advantage: 1,
      }));
      const tokens = sum(attempts.map((attempt) => policyTokenCount(attempt.trajectory.tape)));
      for (const { weights } of toBatch(attempts, options).sequences)
        expect(sum(weights)).toBeCloseTo(1 / lengths.length, 5);
      for (const { weights } of toBatch(attempts, { ...options, normaliser: "token" }).sequences) {
        for (const weight of weights) expect([0, Math.fround(1 / tokens)]).toContain(weight);
      }
    }),
  );
});

test("an attempt without advantage is left out but still counts in the mean", () => {
  const attempts = [0, 1].map((advantage) => ({ trajectory: trajectory(), advantage }));
  for (const normaliser of ["sequence", "token"] as const) {
    const { sequences } = toBatch(attempts, { ...options, normaliser });
    expect(sequences.length).toBe(1);
    expect(sum(sequences[0]!.weights)).toBeCloseTo(0.5, 6);
  }
});

test("a trajectory of another policy version is refused, unless the lag is allowed", () => {
  const attempts = [1, 2].map((policyVersion) => ({ trajectory: trajectory({ policyVersion }), advantage: 1 }));
  expect(() => toBatch(attempts, { ...options, policyVersion: 2 })).toThrow(EngineError);
  expect(() => toBatch(attempts, { ...options, policyVersion: 2 })).toThrow(/version 1.*version 2, allowed lag 0/);
  expect(() => toBatch(attempts, { ...options, policyVersion: 1, maxLag: 5 })).toThrow(/version 2/);
  expect(toBatch(attempts, { ...options, policyVersion: 2, maxLag: 1 }).sequences.length).toBe(2);
});

test("a token without a finite log-probability is left out and counted; many of them are an error", () => {
  const rare = trajectory({ words: Array(1000).fill(1) });
  rare.logprobs[5] = Number.NaN;
  const { sequences, nonFiniteLogprobs } = toBatch([{ trajectory: rare, advantage: 1 }], options);
  expect(nonFiniteLogprobs).toBe(1);
  expect([sequences[0]!.weights[5], sequences[0]!.advantages[5], sequences[0]!.oldLogprobs[5]]).toEqual([0, 0, 0]);
  const broken = { trajectory: trajectory({ logprob: Number.NEGATIVE_INFINITY }), advantage: 1 };
  expect(() => toBatch([broken], options)).toThrow(/4 of 4 sampled tokens/);
});

test("every update gets the same number of siblings of every group, and every attempt comes once", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
      (B, perUpdate, parts) => {
        const groups = Array.from({ length: B }, (_, b) =>
          Array.from({ length: perUpdate * parts }, (_, g) => ({ b, g })),
        );
        const minibatches = splitForUpdates(groups, parts);
        expect(minibatches.length).toBe(parts);
        for (const minibatch of minibatches) {
          for (let b = 0; b < B; b++) expect(minibatch.filter((one) => one.b === b).length).toBe(perUpdate);
        }
        expect(new Set(minibatches.flat()).size).toBe(B * perUpdate * parts);
      },
    ),
  );
});

test("advantages of single tokens land on the policy's tokens in order, whatever stands between", () => {
  const one = trajectory({ words: [3, 4, 5] });
  const tokenAdvantages = Float64Array.of(1, 2, 3, 4, 5, 6);
  const [sequence] = toBatch([{ trajectory: one, advantage: 3.5, tokenAdvantages }], options).sequences;
  expect([...sequence!.advantages]).toEqual([0, 0, 1, 2, 3, 0, 0, 4, 5, 6]);
  expect(toBatch([{ trajectory: one, advantage: 0, tokenAdvantages }], options).sequences.length).toBe(1);
  const seen: number[][] = [];
  const runs = [3, 2, 1].map((length, i) => ({ author: i === 1 ? ("search" as const) : ("policy" as const), length }));
  forEachPolicyRun({ tokens: new Int32Array(6), runs }, (...place) => seen.push(place));
  expect(seen).toEqual([
    [1, 3, 1],
    [5, 6, 3],
  ]);
});

test("with a KL term an attempt without advantage still has a gradient, and brings its reference along", () => {
  const one = trajectory();
  const referenceLogprobs = new Float32Array(one.tape.tokens.length).fill(-2);
  const { sequences } = toBatch([{ trajectory: one, advantage: 0, referenceLogprobs }], options);
  expect(sequences[0]!.referenceLogprobs).toBe(referenceLogprobs);
});

test("importance weights are learner over sampler, truncated; the ratio then starts at the learner's own", () => {
  const one = trajectory({ words: [3, 4] });
  const learnerLogprobs = Float32Array.of(0, 0, -1, -1 + Math.log(1.5), 0, 0, -1 + Math.log(4), -1 - 50);
  const attempt = { trajectory: one, advantage: -2, learnerLogprobs };
  const [sequence] = toBatch([attempt], { ...options, truncateRatio: 2 }).sequences;
  const expected = [0, 0, -2, -3, 0, 0, -4, 0];
  for (const [t, value] of expected.entries()) expect(sequence!.advantages[t]).toBeCloseTo(value, 5);
  expect([...sequence!.oldLogprobs]).toEqual([...learnerLogprobs]);
  const [same] = toBatch([{ ...attempt, learnerLogprobs: one.logprobs }], { ...options, truncateRatio: 2 }).sequences;
  expect(same).toEqual(toBatch([{ trajectory: one, advantage: -2 }], options).sequences[0]);
});

test("documents that are not masked have the attempt's weight and advantage, and count among the tokens", () => {
  const one = trajectory({ words: [3, 4, 5] });
  const learnerLogprobs = Float32Array.from(one.tape.tokens, (_, t) => -t);
  const attempt = { trajectory: one, advantage: -2, learnerLogprobs };
  const unmasked = { ...options, maskDocuments: false } as const;
  for (const normaliser of ["sequence", "token"] as const) {
    const [sequence] = toBatch([attempt], { ...unmasked, normaliser }).sequences;
    expect([...sequence!.weights]).toEqual([0, 0, ...Array(8).fill(1 / 8)]);
    expect([...sequence!.advantages]).toEqual([0, 0, ...Array(8).fill(-2)]);
    // what the policy wrote keeps the sampler's log-probability
    expect([...sequence!.oldLogprobs]).toEqual([0, 0, -1, -1, -1, -5, -6, -1, -1, -1]);
  }
  expect(() => toBatch([{ trajectory: one, advantage: 1 }], unmasked)).toThrow(/the learner was not asked/);
  expect(toBatch([attempt], options)).toEqual(toBatch([{ trajectory: one, advantage: -2 }], options));
});

test("what a tool wrote is masked as documents are, and learnt from where they are", () => {
  const bySearch = trajectory({ words: [3, 4] });
  const runs = bySearch.tape.runs.map((run) => (run.author === "search" ? { ...run, author: "tool" as const } : run));
  const byTool = { ...bySearch, tape: { ...bySearch.tape, runs } };
  const learnerLogprobs = new Float32Array(bySearch.tape.tokens.length).fill(-1);
  for (const maskDocuments of [true, false]) {
    const of = (one: typeof bySearch) =>
      toBatch([{ trajectory: one, advantage: 2, learnerLogprobs }], { ...options, maskDocuments }).sequences;
    expect(of(byTool)).toEqual(of(bySearch));
    expect(of(byTool)[0]!.weights[4] === 0).toBe(maskDocuments);
  }
});
