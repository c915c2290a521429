/** @file How far the policy is from the one that the run started with, and what that costs: in the reward or the loss. */
import { klEstimate } from "../engine/loss.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import { forEachPolicyRun, policyTokenCount } from "./batch.ts";
import type { KlConfig } from "./config.ts";
import type { Metrics } from "./health.ts";
import { rescore, type Scorer } from "./rescore.ts";

/** Under the frozen reference, for those attempts that survived; see `rescore`. */
export type ReferenceLogprobs = ReadonlyMap<Trajectory, Float32Array>;

/** @returns nothing where KL is off: then no reference is needed, and none is asked */
export async function scoreByReference(
  survivors: readonly Trajectory[],
  { kl, reference }: { readonly kl: KlConfig | undefined; readonly reference: Scorer | undefined },
): Promise<ReferenceLogprobs> {
  if (!isOn(kl)) return new Map();
  if (!reference) throw new Error(`kl.kind is ${kl.kind}, but there is no reference policy`);
  const rows = await rescore(survivors, reference, "the reference policy");
  return new Map(survivors.map((trajectory, i) => [trajectory, rows[i]!]));
}

type KlThatIsOn = KlConfig & { readonly kind: "k1" | "k2" | "k3" };

function isOn(kl: KlConfig | undefined): kl is KlThatIsOn {
  return kl !== undefined && kl.kind !== "off";
}

/** @returns the term that goes into the loss, where there is one */
export function lossTerm(kl: KlConfig | undefined): { kind: "k2" | "k3"; coefficient: number } | undefined {
  if (kl?.kind === "k2" || kl?.kind === "k3") return { kind: kl.kind, coefficient: kl.coefficient };
  return undefined;
}

/** @returns −coefficient × k1 of every policy token, in order, where KL is a matter of the reward */
export function tokenRewards(
  trajectory: Trajectory,
  references: ReferenceLogprobs,
  kl: KlConfig | undefined,
): { tokenRewards?: Float64Array } {
  const reference = references.get(trajectory);
  if (!reference || kl?.kind !== "k1") return {};
  const rewards = new Float64Array(policyTokenCount(trajectory.tape));
  forEachKl(trajectory, reference, "k1", (value, nth) => {
    rewards[nth] = -kl.coefficient * value;
  });
  return { tokenRewards: rewards };
}

/** The mean over policy tokens, by the estimate that training uses. */
export function klMetrics(references: ReferenceLogprobs, kl: KlConfig | undefined): Metrics {
  if (!isOn(kl)) return {};
  let sum = 0;
  let tokens = 0;
  for (const [trajectory, reference] of references) {
    forEachKl(trajectory, reference, kl.kind, (value) => {
      sum += value;
      tokens++;
    });
  }
  return { "policy/reference_kl": sum / Math.max(1, tokens) };
}

/** Visits policy tokens that have a log-probability; the others are not learnt from either. */
function forEachKl(
  { tape, logprobs }: Trajectory,
  reference: Float32Array,
  kind: "k1" | "k2" | "k3",
  visit: (value: number, nth: number) => void,
): void {
  forEachPolicyRun(tape, (from, to, nth) => {
    for (let t = from; t < to; t++) {
      if (Number.isFinite(logprobs[t]!)) visit(klEstimate(kind, logprobs[t]!, reference[t]!).value, nth + t - from);
    }
  });
}
