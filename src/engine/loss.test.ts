import fc from "fast-check";
import { expect, test } from "vitest";
import type { LossSpec } from "./engine.ts";
import { clampLog, klEstimate, MAX_KL, MAX_LOG_RATIO, tokenLoss } from "./loss.ts";

const far = fc.double({ min: -1e30, max: 1e30, noNaN: true });
const infinite = fc.constantFrom(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
const logprob = fc.double({ min: -1e30, max: 0, noNaN: true });
const ppo = { kind: "ppo", clipLow: 0.2, clipHigh: 0.28 } as const;
const specs: readonly LossSpec[] = [
  ppo,
  { ...ppo, dualClip: 3 },
  { ...ppo, kl: { kind: "k2", coefficient: 0.1 } },
  { ...ppo, dualClip: 3, kl: { kind: "k3", coefficient: 0.1 } },
];

test("no log-probability, however far from the sampler's or the reference's, makes a loss that is not finite", () => {
  const terms = {
    logprob,
    oldLogprob: fc.oneof(far, infinite),
    advantage: far,
    referenceLogprob: fc.oneof(far, infinite),
  };
  fc.assert(
    fc.property(fc.constantFrom(...specs), fc.record(terms), (spec, token) => {
      const { loss, slope } = tokenLoss(spec, token);
      expect([Number.isFinite(loss), Number.isFinite(slope)]).toEqual([true, true]);
    }),
  );
});

test("a term that is no number makes neither a number of it: loss and slope say so", () => {
  const terms = { logprob: -1, oldLogprob: -1.1, advantage: 0.5, referenceLogprob: -0.9 };
  for (const spec of specs) {
    for (const key of ["logprob", "oldLogprob", "advantage", "referenceLogprob"] as const) {
      if (key === "referenceLogprob" && !(spec.kind === "ppo" && spec.kl)) continue;
      const { loss, slope } = tokenLoss(spec, { ...terms, [key]: Number.NaN });
      expect([loss, slope], `${key} in ${JSON.stringify(spec)}`).toEqual([Number.NaN, Number.NaN]);
    }
  }
});

test("ratios and estimates stay within their clamps", () => {
  fc.assert(
    fc.property(fc.oneof(far, infinite), fc.constantFrom("k1", "k2", "k3"), (gap, kind) => {
      expect(Math.abs(clampLog(gap))).toBeLessThanOrEqual(MAX_LOG_RATIO);
      expect(Math.abs(klEstimate(kind, 0, gap).value)).toBeLessThanOrEqual(MAX_KL);
    }),
  );
});
