import fc from "fast-check";
import { expect, test } from "vitest";
import { EngineError } from "../base/errors.ts";
import { type Attempt, compareSiblings, estimateAdvantages, groupFloor, rewardToGo } from "./advantage.ts";
import { EstimatorConfig } from "./config.ts";

const estimator = (config: Partial<EstimatorConfig> = {}) => EstimatorConfig.parse(config);
const kinds = ["reinforce++-baseline", "reinforce++", "grpo", "rloo", "dr-grpo"] as const;
const reward = fc.double({ min: -3, max: 3, noNaN: true });
const attempt: fc.Arbitrary<Attempt> = fc.record({ reward, policyTokens: fc.integer({ min: 1, max: 300 }) });
const failed: Attempt = { reward: undefined, policyTokens: 7 };
const group = fc.array(attempt, { minLength: 4, maxLength: 8 });
const estimators = fc.record({
  kind: fc.constantFrom(...kinds.filter((kind) => kind !== "reinforce++")),
  whiten: fc.constantFrom("batch" as const, "std-only" as const, "none" as const),
  clip: fc.constant(10),
});

test("a failed sibling changes nothing: advantages equal those of the survivors alone", () => {
  fc.assert(
    fc.property(fc.array(group, { minLength: 1, maxLength: 5 }), fc.nat(), estimators, (groups, at, config) => {
      const clean = estimateAdvantages(groups, config).values;
      const dirty = estimateAdvantages(
        groups.map((siblings) => siblings.toSpliced(at % siblings.length, 0, failed)),
        config,
      ).values;
      expect(dirty.map((row) => row.filter((value) => value !== undefined))).toEqual(clean);
    }),
  );
});

test("a group that lost more than a quarter of its siblings is dropped and counted", () => {
  const survivors = (n: number) =>
    Array.from({ length: 8 }, (_, i) => (i < n ? { reward: i, policyTokens: 1 } : failed));
  expect([1, 2, 4, 8, 16].map(groupFloor)).toEqual([1, 2, 3, 6, 12]);
  const { values, droppedGroups } = estimateAdvantages([survivors(5), survivors(6), survivors(0)], estimator());
  expect(droppedGroups).toBe(2);
  expect(values[0]).toEqual(Array(8).fill(undefined));
  expect(values[1]!.filter((value) => value !== undefined).length).toBe(6);
});

test("a dropped group is in no statistic of the others", () => {
  const good = [1, 0, 0, 0].map((value) => ({ reward: value, policyTokens: 3 }));
  const dropped = [{ reward: 100, policyTokens: 1000 }, failed, failed, failed];
  expect(estimateAdvantages([good, dropped], estimator()).values[0]).toEqual(
    estimateAdvantages([good], estimator()).values[0],
  );
});

test("after whitening over tokens the mean is 0 and the deviation 1", () => {
  fc.assert(
    fc.property(fc.array(group, { minLength: 1, maxLength: 5 }), (groups) => {
      const values = estimateAdvantages(groups, estimator()).values;
      const flat = groups.flatMap((siblings, b) =>
        siblings.map(({ policyTokens }, g) => ({ n: policyTokens, a: values[b]![g]! })),
      );
      const tokens = flat.reduce((sum, { n }) => sum + n, 0);
      const mean = flat.reduce((sum, { n, a }) => sum + n * a, 0) / tokens;
      const variance = flat.reduce((sum, { n, a }) => sum + n * (a - mean) ** 2, 0) / tokens;
      expect(mean).toBeCloseTo(0, 6);
      if (variance > 1e-6) expect(variance).toBeLessThan(1 + 1e-6);
    }),
  );
});

test("whitening takes mean and variance over tokens, not over attempts", () => {
  const attempts = [
    { reward: 1, policyTokens: 1 },
    { reward: 0, policyTokens: 3 },
  ];
  // A = ±0.5; over 4 tokens mean −0.25, variance 0.1875
  const whitened = estimateAdvantages([attempts], estimator()).values[0]!;
  expect(whitened[0]).toBeCloseTo(0.75 / Math.sqrt(0.1875), 12);
  expect(whitened[1]).toBeCloseTo(-0.25 / Math.sqrt(0.1875), 12);
  const scaled = estimateAdvantages([attempts], estimator({ whiten: "std-only" })).values[0]!;
  expect(scaled[0]).toBeCloseTo(0.5 / Math.sqrt(0.1875), 12);
});

test("equal rewards give exact zeros and are counted, whatever the reward", () => {
  fc.assert(
    fc.property(reward, fc.integer({ min: 2, max: 16 }), estimators, (value, siblings, config) => {
      const flat = Array.from({ length: siblings }, (_, i) => ({ reward: value, policyTokens: i + 1 }));
      const { values, zeroVarianceGroups } = estimateAdvantages([flat], config);
      expect(zeroVarianceGroups).toBe(1);
      expect(values[0]!.every((advantage) => Math.abs(advantage!) === 0)).toBe(true);
    }),
  );
});

test("beside a group that teaches, a group without variance stays at zero unless the batch mean is taken away", () => {
  const teaching = [
    { reward: 1, policyTokens: 10 },
    { reward: 0, policyTokens: 2 },
  ];
  const flat = [5, 9].map((policyTokens) => ({ reward: 1, policyTokens }));
  expect(estimateAdvantages([teaching, flat], estimator({ whiten: "std-only" })).values[1]).toEqual([0, 0]);
  expect(estimateAdvantages([teaching, flat], estimator()).values[1]![0]).toBeLessThan(0);
});

test("the baseline clips what is left of a reward; grpo divides by the unbiased deviation and is not whitened", () => {
  expect(compareSiblings([40, 0, 0, 0], estimator())).toEqual([10, -10, -10, -10]);
  const { values } = estimateAdvantages(
    [[1, 2, 3].map((r) => ({ reward: r, policyTokens: r }))],
    estimator({ kind: "grpo" }),
  );
  expect(values[0]).toEqual([-1 / (1 + 1e-9), 0, 1 / (1 + 1e-9)]);
});

test("the order of siblings and groups does not matter to the sign, and shifting all rewards changes nothing", () => {
  fc.assert(
    fc.property(group, fc.integer({ min: -4, max: 4 }), (siblings, shift) => {
      const whole = siblings.map((one) => ({ ...one, reward: Math.round(one.reward! * 8) / 8 }));
      const moved = whole.map((one) => ({ ...one, reward: one.reward + shift }));
      const [a, b] = [whole, moved].map((one) => estimateAdvantages([one], estimator()).values[0]!);
      for (const [g, value] of a!.entries()) expect(b![g]).toBeCloseTo(value!, 6);
    }),
  );
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])("a reward of %s is an error that names the attempt", (value) => {
  const attempts = [0, 1, 2, value].map((r) => ({ reward: r, policyTokens: 1 }));
  expect(() => estimateAdvantages([attempts.slice(0, 3), attempts], estimator())).toThrow(EngineError);
  expect(() => estimateAdvantages([attempts.slice(0, 3), attempts], estimator())).toThrow(
    /question 1, sibling 3.*(NaN|Infinity)/,
  );
});

test("rloo leaves out the sibling itself: the baseline's differences, times n over n − 1", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 2, maxLength: 8 }), (rewards) => {
      const [apart, together] = [estimator({ kind: "rloo" }), estimator()].map((one) => compareSiblings(rewards, one));
      const n = rewards.length;
      for (const [g, value] of apart!.entries()) expect(value).toBeCloseTo((together![g]! * n) / (n - 1), 9);
    }),
  );
  expect(compareSiblings([1, 0, 0.5], estimator({ kind: "rloo" }))).toEqual([0.75, -0.75, 0]);
});

test("dr-grpo keeps the size of differences, grpo does not, and neither is whitened unless asked", () => {
  const of = (kind: (typeof kinds)[number], ...rewards: number[]) =>
    estimateAdvantages([rewards.map((r) => ({ reward: r, policyTokens: 1 + r }))], estimator({ kind })).values[0];
  expect(of("dr-grpo", 0, 4)).toEqual([-2, 2]);
  expect(of("dr-grpo", 0, 1)).toEqual([-0.5, 0.5]);
  expect(of("grpo", 0, 4)![1]).toBeCloseTo(of("grpo", 0, 1)![1]!, 6);
});

test("plain reinforce++ compares with the batch alone: no group is dropped, and equal rewards still teach", () => {
  const alone = [{ reward: 1, policyTokens: 2 }, failed, failed, failed];
  const flat = [0, 0].map((value) => ({ reward: value, policyTokens: 1 }));
  const plain = estimateAdvantages([alone, flat], estimator({ kind: "reinforce++" }));
  expect(plain.values).toEqual([
    [1, undefined, undefined, undefined],
    [-1, -1],
  ]);
  expect([plain.droppedGroups, plain.zeroVarianceGroups]).toEqual([0, 2]);
  expect(compareSiblings([40, -40, 3], estimator({ kind: "reinforce++" }))).toEqual([10, -10, 3]);
});

const penalised = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 });

test("a return is the sum of what is still to come, undiscounted, and the first one is the whole", () => {
  fc.assert(
    fc.property(penalised, reward, (rewards, last) => {
      const returns = rewardToGo(Float64Array.from(rewards), last);
      for (const [i, value] of rewards.entries()) {
        const next = i + 1 < rewards.length ? returns[i + 1]! : last;
        expect(returns[i]! - next).toBeCloseTo(value, 9);
      }
    }),
  );
  expect([...rewardToGo(Float64Array.of(-0.5, 0, -0.25), 1)]).toEqual([0.25, 0.75, 0.75]);
});

test("rewards of 0 for every token change no estimator's advantages", () => {
  fc.assert(
    fc.property(fc.array(group, { minLength: 1, maxLength: 4 }), fc.constantFrom(...kinds), (groups, kind) => {
      const zeros = groups.map((siblings) =>
        siblings.map((one) => ({ ...one, tokenRewards: new Float64Array(one.policyTokens) })),
      );
      const plain = estimateAdvantages(groups, estimator({ kind }));
      const byToken = estimateAdvantages(zeros, estimator({ kind })).byToken;
      for (const [b, row] of plain.values.entries()) {
        for (const [g, value] of row.entries()) {
          if (value === undefined) expect(byToken[b]![g]).toBeUndefined();
          else for (const one of byToken[b]![g]!) expect(one).toBeCloseTo(value, 5);
        }
      }
      expect(plain.byToken.flat().every((one) => one === undefined)).toBe(true);
    }),
  );
});

test("whitening counts every token's own return, and a value stands for its tokens' mean", () => {
  const siblings = [
    { reward: 1, policyTokens: 3, tokenRewards: Float64Array.of(-0.3, -0.1, 0) },
    { reward: 0, policyTokens: 2, tokenRewards: Float64Array.of(0, -0.2) },
  ];
  const { values, byToken } = estimateAdvantages([siblings], estimator());
  const tokens = byToken[0]!.flatMap((one) => [...one!]);
  expect(tokens.reduce((sum, one) => sum + one, 0)).toBeCloseTo(0, 9);
  expect(tokens.reduce((sum, one) => sum + one * one, 0) / 5).toBeCloseTo(1, 9);
  expect(values[0]![1]).toBeCloseTo((tokens[3]! + tokens[4]!) / 2, 12);
});

test("a token's reward that is not finite is an error that names the attempt", () => {
  const broken = { reward: 1, policyTokens: 1, tokenRewards: Float64Array.of(Number.NaN) };
  expect(() => estimateAdvantages([[broken]], estimator())).toThrow(/question 0, sibling 0 .*not finite/);
});
