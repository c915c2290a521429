/**
 * @file The derivative of each loss with respect to the log-probability of a token, as a graph. `engine/loss.ts`
 * defines the same losses as plain TypeScript; a test checks that both agree. All values are [R, 1].
 */

import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";
import type { LossSpec } from "../../engine.ts";
import { MAX_KL, MAX_LOG_RATIO } from "../../loss.ts";

/** The parts of a loss that change its graph. Its numbers are inputs of the graph. */
export type LossForm = "cross-entropy" | `ppo${"" | "+dual-clip"}${"" | "+k2" | "+k3"}`;

export function lossForm(loss: LossSpec): LossForm {
  if (loss.kind === "cross-entropy") return loss.kind;
  const dualClip = loss.dualClip === undefined ? "" : "+dual-clip";
  return loss.kl ? `ppo${dualClip}+${loss.kl.kind}` : `ppo${dualClip}`;
}

/** The KL estimator that a loss of this form adds. */
export function klOf(form: LossForm): "k2" | "k3" | undefined {
  if (form.endsWith("+k2")) return "k2";
  return form.endsWith("+k3") ? "k3" : undefined;
}

export function hasDualClip(form: LossForm): boolean {
  return form.includes("+dual-clip");
}

export interface LossInputs {
  readonly weight: Value;
  readonly advantage: Value;
  readonly oldLogprob: Value;
  /** [1] each: 1 − clipLow and 1 + clipHigh. */
  readonly ratioFloor: Value;
  readonly ratioCeiling: Value;
  /** [1]; present if the form has a dual clip. */
  readonly dualClip?: Value;
  /** `coefficient` is [1]. */
  readonly kl?: { readonly coefficient: Value; readonly referenceLogprob: Value };
}

/** d loss / d logprob. */
export function lossDerivative(graph: GraphBuilder, form: LossForm, logprob: Value, inputs: LossInputs): Value {
  if (form === "cross-entropy") return graph.node("Neg", [inputs.weight]);
  const ascent = ppoAscent(graph, logprob, inputs);
  const kind = klOf(form);
  if (!kind || !inputs.kl) return graph.node("Neg", [graph.node("Mul", [ascent, inputs.weight])]);
  const pull = graph.node("Mul", [
    klDerivative(graph, kind, logprob, inputs.kl.referenceLogprob),
    inputs.kl.coefficient,
  ]);
  return graph.node("Mul", [graph.node("Sub", [pull, ascent]), inputs.weight]);
}

/** The derivative of the clipped objective, which is maximised: −d loss / d logprob before the weight is applied. */
function ppoAscent(graph: GraphBuilder, logprob: Value, inputs: LossInputs): Value {
  const logRatio = clampedDifference(graph, logprob, inputs.oldLogprob);
  const ratio = graph.node("Exp", [logRatio]);
  const clipped = graph.node("Min", [graph.node("Max", [ratio, inputs.ratioFloor]), inputs.ratioCeiling]);
  const plain = graph.node("Mul", [ratio, inputs.advantage]);
  const bounded = graph.node("Mul", [clipped, inputs.advantage]);
  // the minimum has the derivative of the unclipped term if that term is smaller, and 0 if it is clipped
  const ascent = zeroWhere(graph, [plain, "Greater", bounded], plain);
  if (!inputs.dualClip) return ascent;
  const negative = graph.node("Min", [inputs.advantage, graph.scalar(0)]);
  const floor = graph.node("Mul", [negative, inputs.dualClip]);
  return zeroWhere(graph, [plain, "Less", floor], ascent);
}

function klDerivative(graph: GraphBuilder, kind: "k2" | "k3", logprob: Value, referenceLogprob: Value): Value {
  const difference = clampedDifference(graph, logprob, referenceLogprob); // MAX_KL takes effect long before this clamp
  const [value, slope] = klTerms(graph, kind, difference);
  return zeroWhere(graph, [value, "Greater", graph.scalar(MAX_KL)], slope);
}

function klTerms(graph: GraphBuilder, kind: "k2" | "k3", difference: Value): [value: Value, slope: Value] {
  if (kind === "k2") {
    const square = graph.node("Mul", [difference, difference]);
    return [graph.node("Mul", [square, graph.scalar(0.5)]), difference];
  }
  const slope = graph.node("Sub", [graph.scalar(1), graph.node("Exp", [graph.node("Neg", [difference])])]);
  return [graph.node("Sub", [difference, slope]), slope];
}

function clampedDifference(graph: GraphBuilder, a: Value, b: Value): Value {
  const bounds = [graph.scalar(-MAX_LOG_RATIO), graph.scalar(MAX_LOG_RATIO)];
  return graph.node("Clip", [graph.node("Sub", [a, b]), ...bounds]);
}

/**
 * 0 where the comparison holds, `value` elsewhere. It selects and does not multiply by 0, because 0 · ∞ is NaN. With
 * NaN no comparison holds, so NaN stays in the result and the update is refused.
 */
function zeroWhere(
  graph: GraphBuilder,
  [a, order, b]: readonly [a: Value, order: "Greater" | "Less", b: Value],
  value: Value,
): Value {
  const holds = graph.node(order, [a, b], {}, { type: "bool" });
  return graph.node("Where", [holds, graph.scalar(0), value], {}, { type: "float32" });
}
