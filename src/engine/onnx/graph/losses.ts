/**
 * @file The slope of each loss by the log-probability of a token, as a graph. `engine/loss.ts` defines the same
 * losses in plain numbers; a test holds the two together. All values are [R, 1].
 */
import type { LossSpec } from "../../engine.ts";
import { MAX_LOG_RATIO } from "../../loss.ts";
import type { GraphBuilder, Value } from "./builder.ts";

export interface LossInputs {
  readonly weight: Value;
  readonly advantage: Value;
  readonly oldLogprob: Value;
  /** [1] each: 1 − clipLow and 1 + clipHigh. */
  readonly ratioFloor: Value;
  readonly ratioCeiling: Value;
}

/** d loss / d logprob. */
export function lossSlope(graph: GraphBuilder, kind: LossSpec["kind"], logprob: Value, inputs: LossInputs): Value {
  switch (kind) {
    case "cross-entropy":
      return graph.node("Neg", [inputs.weight]);
    case "ppo":
      return ppoSlope(graph, logprob, inputs);
  }
}

function ppoSlope(graph: GraphBuilder, logprob: Value, inputs: LossInputs): Value {
  const logRatio = graph.node("Clip", [
    graph.node("Sub", [logprob, inputs.oldLogprob]),
    graph.scalar(-MAX_LOG_RATIO),
    graph.scalar(MAX_LOG_RATIO),
  ]);
  const ratio = graph.node("Exp", [logRatio]);
  const clipped = graph.node("Min", [graph.node("Max", [ratio, inputs.ratioFloor]), inputs.ratioCeiling]);
  const plain = graph.node("Mul", [ratio, inputs.advantage]);
  const bounded = graph.node("Mul", [clipped, inputs.advantage]);
  // the minimum has the slope of the unclipped term where that is the smaller one, none where the clip holds
  const holds = graph.node(
    "Cast",
    [graph.node("LessOrEqual", [plain, bounded], {}, { type: "bool" })],
    { to: 1 },
    { type: "float32" },
  );
  return graph.node("Neg", [graph.node("Mul", [graph.node("Mul", [plain, holds]), inputs.weight])]);
}
