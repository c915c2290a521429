import { expect, test } from "vitest";
import { klEstimate, MAX_KL } from "../engine/loss.ts";
import type { Tape } from "../protocol/tape.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import { estimateAdvantages } from "./advantage.ts";
import { attemptsOf, scoredAttempts } from "./attempts.ts";
import { toBatch } from "./batch.ts";
import { EstimatorConfig, KlConfig, LossConfig } from "./config.ts";
import { klMetrics, scoreByReference, tokenRewards } from "./kl.ts";
import { rescore } from "./rescore.ts";
import { config, TinyLearner, tinyParts, trajectory } from "./testing/tiny-run.ts";
import { train } from "./training-loop.ts";

const kl = (kind: KlConfig["kind"], coefficient = 0.1) => KlConfig.parse({ kind, coefficient });
/** Says −id of every token. */
const reference = {
  logprobs: async (batch: readonly Int32Array[]) => batch.map((ids) => Float32Array.from(ids.subarray(1), (id) => -id)),
};

test("estimates are 0 where policies agree; k1 and k3 are right on average, k2 and k3 never negative", () => {
  const [policy, frozen] = [
    [0.5, 0.3, 0.2],
    [0.4, 0.4, 0.2],
  ] as const;
  const exact = policy.reduce((sum, p, i) => sum + p * Math.log(p / frozen[i]!), 0);
  for (const kind of ["k1", "k2", "k3"] as const) {
    expect(klEstimate(kind, -1.5, -1.5).value).toBeCloseTo(0, 12);
    const values = policy.map((p, i) => klEstimate(kind, Math.log(p), Math.log(frozen[i]!)).value);
    const mean = policy.reduce((sum, p, i) => sum + p * values[i]!, 0);
    if (kind === "k2") expect(Math.abs(mean - exact)).toBeLessThan(0.1 * exact);
    else expect(mean).toBeCloseTo(exact, 12);
    if (kind !== "k1") expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    for (const far of [-100, -1e4]) {
      expect(klEstimate(kind, 0, far)).toEqual({ value: MAX_KL, slope: 0 });
      expect(Math.abs(klEstimate(kind, far, 0).value)).toBe(MAX_KL);
    }
  }
});

test("a reference is laid out as the sampler's log-probabilities, and only where the policy wrote", async () => {
  const one = trajectory({ words: [3, 4] });
  const [row] = await rescore([one], reference, "the reference policy");
  expect([...row!]).toEqual([0, 0, -3, -4, 0, 0, -3, -4]);
  const broken = { logprobs: async () => [new Float32Array(7).fill(Number.NaN)] };
  await expect(rescore([one], broken, "the reference policy")).rejects.toThrow(
    /reference policy gives token 2 .* q NaN/,
  );
});

test("off asks no reference; on without one is an error", async () => {
  const unasked = { logprobs: () => Promise.reject(new Error("asked")) };
  for (const off of [undefined, kl("off")]) {
    expect(await scoreByReference([trajectory()], { kl: off, reference: unasked })).toEqual(new Map());
    expect(klMetrics(new Map(), off)).toEqual({});
  }
  await expect(scoreByReference([], { kl: kl("k3"), reference: undefined })).rejects.toThrow("no reference policy");
});

test("k1 is a penalty on each of the policy's tokens; k2 and k3 leave rewards alone", async () => {
  const one = trajectory({ words: [3, 4] });
  const references = await scoreByReference([one], { kl: kl("k1"), reference });
  const { tokenRewards: rewards } = tokenRewards(one, references, kl("k1"));
  for (const [i, gap] of [2, 3, 2, 3].entries()) expect(rewards![i]).toBeCloseTo(-0.1 * gap, 12);
  expect(klMetrics(references, kl("k1"))).toEqual({ "policy/reference_kl": 2.5 });
  expect(tokenRewards(one, references, kl("k3"))).toEqual({});
});

/** The same words of the policy with `documents` tokens of search after each turn. */
function withDocuments(documents: number, turns: readonly (readonly number[])[]): Trajectory {
  const runs: Tape["runs"] = [
    { author: "prompt", length: 1 },
    ...turns.flatMap(({ length }) => [
      { author: "policy" as const, length },
      { author: "search" as const, length: documents },
    ]),
  ];
  const tokens = Int32Array.from([1, ...turns.flatMap((turn) => [...turn, ...Array<number>(documents).fill(50)])]);
  return {
    ...trajectory(),
    tape: { tokens, runs },
    logprobs: Float32Array.from(tokens, (id) => (id === 50 ? 0 : -0.5)),
  };
}

test("documents neither break nor decay a return: with none or many of them every advantage is the same", async () => {
  const turns = [
    [[3, 4], [5], [2, 2, 6]],
    [[7], [8, 9]],
  ];
  const advantagesWith = async (documents: number) => {
    const groups = [turns.map((one) => withDocuments(documents, one))];
    const rewards = [[1, 0].map((total) => ({ total, parts: [] }))];
    const options = { kl: kl("k1"), references: await scoreByReference(groups.flat(), { kl: kl("k1"), reference }) };
    const advantages = estimateAdvantages(attemptsOf(groups, rewards, options), EstimatorConfig.parse({}));
    const scored = scoredAttempts(groups, advantages, options).flat();
    const { sequences } = toBatch(scored, { normaliser: "token", policyVersion: 1, maxLag: 0 });
    return sequences.map(({ advantages: all, weights }) => [...all].filter((_, t) => weights[t] !== 0));
  };
  const plain = await advantagesWith(0);
  expect(plain.map(({ length }) => length)).toEqual(turns.map((one) => one.flat().length));
  expect(await advantagesWith(1)).toEqual(plain);
  expect(await advantagesWith(400)).toEqual(plain);
  expect(plain[0]![0]).not.toBe(plain[0]![5]); // the penalties do differ
});

/** How far training goes from where it started, and what it asked of its engine. */
async function trainWith(held: KlConfig | undefined) {
  const learner = new TinyLearner();
  const records: Record<string, number>[] = [];
  await train(
    tinyParts(learner, {
      config: config({ kl: held, loss: LossConfig.parse({ normaliser: "token" }) }),
      ...(held ? { reference: new TinyLearner() } : {}),
      keeper: {
        record: async ({ metrics }) => void records.push(metrics),
        save: async () => {},
        rollBack: () => Promise.reject(new Error("not used")),
      },
    }),
  );
  return { learner, records };
}

test.each(["k1", "k2", "k3"] as const)(
  "%s holds the policy near its start, more so the higher the coefficient",
  async (kind) => {
    const rise = async (held: KlConfig | undefined) => (await trainWith(held)).learner.probabilities()[2]!;
    const [free, weak, strong] = [await rise(undefined), await rise(kl(kind, 0.3)), await rise(kl(kind, 3))];
    expect(free).toBeGreaterThan(0.5);
    expect(weak).toBeLessThan(free);
    expect(strong).toBeLessThan(weak);
    const { learner, records } = await trainWith(kl(kind, 0.3));
    expect(records[0]!["policy/reference_kl"]).toBeCloseTo(0, 5);
    expect(records.at(-2)!["policy/reference_kl"]).toBeGreaterThan(0);
    const term = kind === "k1" ? {} : { kl: { kind, coefficient: 0.3 } };
    expect(learner.losses[0]).toEqual({ kind: "ppo", clipLow: 0.2, clipHigh: 0.2, ...term });
  },
);

test("without KL nothing of it shows: no reference, no metric, no term", async () => {
  const { learner, records } = await trainWith(undefined);
  expect(records[0]).not.toHaveProperty("policy/reference_kl");
  expect(learner.losses[0]).toEqual({ kind: "ppo", clipLow: 0.2, clipHigh: 0.2 });
  expect(learner.batches.flat().some((one) => "referenceLogprobs" in one)).toBe(false);
});
