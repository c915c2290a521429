/** @file The training graph of every family: forward, loss and every gradient, in one ONNX model of a few kB. */

import { GraphBuilder, type Value } from "../../../runtime/graph-builder.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import { attention, shareAttention } from "../graph/attention.ts";
import { biasedLinear, linear, rmsNorm, swiglu, takeRows, targetLogprobs } from "../graph/composites.ts";
import { normaliseHeads } from "../graph/head-norms.ts";
import { hasDualClip, klOf, type LossForm, type LossInputs, lossSlope } from "../graph/losses.ts";
import { GradientTape } from "../graph/tape.ts";

/** The names of the graph's inputs and outputs besides the weights. */
export const trainNames = {
  weight: (pack: string) => pack,
  /** Accumulated so far; may be the same buffer as `newGradient`. */
  gradient: (pack: string) => `gradient.${pack}`,
  newGradient: (pack: string) => `new_gradient.${pack}`,
  ids: "ids", // int32 [N]
  rows: "rows", // int32 [R]
  inverse: "inverse", // int32 [N]
  target: "target", // int32 [R, 1]
  shape: "shape", // int64 [4]
  edges: "edges", // int64 [QUERY_BLOCKS + 1]
  mask: "mask",
  cos: "cos",
  sin: "sin",
  negativeSin: "negative_sin",
  lossWeight: "loss_weight", // [R, 1]
  advantage: "advantage",
  oldLogprob: "old_logprob",
  ratioFloor: "ratio_floor", // [1]
  ratioCeiling: "ratio_ceiling",
  dualClip: "dual_clip", // [1]
  klCoefficient: "kl_coefficient", // [1]
  referenceLogprob: "reference_logprob", // [R, 1]
  logprob: "logprob", // [R, 1]
  /** Gradient of the embedded tokens, [N, width]; the host adds it to the embedding's rows. */
  embedded: "embedded_gradient",
} as const;

export type TrainGraphKind = LossForm | "logprobs";

/** @param kind a loss, or "logprobs" for the forward pass alone */
export function trainGraph(config: ModelConfig, kind: TrainGraphKind): Uint8Array {
  const graph = new GraphBuilder();
  const tape = new GradientTape(graph);
  const parameters: { pack: string; value: Value; rank: number }[] = [];
  const parameter = (pack: string, rank: number): Value => {
    const value = graph.input(trainNames.weight(pack), rank);
    if (kind !== "logprobs") {
      tape.seed(value, graph.input(trainNames.gradient(pack), rank));
      parameters.push({ pack, value, rank });
    }
    return value;
  };

  const embedding = config.tied ? parameter("embedding", 2) : graph.input("embedding", 2);
  const embedded = graph.node("Gather", [embedding, graph.input(trainNames.ids, 1, "int32")], { axis: 0 });
  const hidden = layers(tape, config, { x: embedded, parameter });
  const taken = takeRows(tape, hidden, {
    rows: graph.input(trainNames.rows, 1, "int32"),
    inverse: kind === "logprobs" ? graph.constant([0], [1], "int32") : graph.input(trainNames.inverse, 1, "int32"),
    width: config.width,
  });
  const final = rmsNorm(tape, taken, parameter("norm", 1), config.rmsEpsilon);
  const head = config.tied ? embedding : parameter("head", 2);
  const logprob = targetLogprobs(tape, final, head, graph.input(trainNames.target, 2, "int32"));

  if (kind !== "logprobs") {
    tape.seed(logprob, lossSlope(graph, kind, logprob, lossInputs(graph, kind)));
    tape.backward();
    for (const { pack, value, rank } of parameters)
      graph.output(tape.gradient(value)!, trainNames.newGradient(pack), rank);
    graph.output(tape.gradient(embedded)!, trainNames.embedded, 2);
  }
  graph.output(logprob, trainNames.logprob, 2);
  return graph.bytes();
}

function layers(
  tape: GradientTape,
  config: ModelConfig,
  { x: embedded, parameter }: { x: Value; parameter: (pack: string, rank: number) => Value },
): Value {
  const { graph } = tape;
  const inputs = {
    shape: graph.input(trainNames.shape, 1, "int64"),
    edges: graph.input(trainNames.edges, 1, "int64"),
    mask: graph.input(trainNames.mask, 2),
    cos: graph.input(trainNames.cos, 2),
    sin: graph.input(trainNames.sin, 2),
    negativeSin: graph.input(trainNames.negativeSin, 2),
  };
  const shared = shareAttention(graph, inputs, config);
  let x = embedded;
  for (let layer = 0; layer < config.layers; layer++) {
    const normal = rmsNorm(tape, x, parameter(`l${layer}.norm1`, 1), config.rmsEpsilon);
    const weight = parameter(`l${layer}.qkv`, 2);
    const packed = config.qkvBias
      ? biasedLinear(tape, normal, weight, parameter(`l${layer}.qkv_bias`, 1))
      : linear(tape, normal, weight);
    const qkv = config.qkNorm
      ? normaliseHeads(
          tape,
          packed,
          { q: parameter(`l${layer}.q_norm`, 1), k: parameter(`l${layer}.k_norm`, 1) },
          config,
        )
      : packed;
    x = linear(tape, attention(tape, qkv, shared), parameter(`l${layer}.o`, 2), x);
    const normal2 = rmsNorm(tape, x, parameter(`l${layer}.norm2`, 1), config.rmsEpsilon);
    const gateUp = linear(tape, normal2, parameter(`l${layer}.gate_up`, 2));
    x = linear(tape, swiglu(tape, gateUp, config.ffnWidth), parameter(`l${layer}.down`, 2), x);
  }
  return x;
}

function lossInputs(graph: GraphBuilder, form: LossForm): LossInputs {
  const weight = graph.input(trainNames.lossWeight, 2);
  if (form === "cross-entropy") {
    const unused = graph.scalar(0);
    return { weight, advantage: unused, oldLogprob: unused, ratioFloor: unused, ratioCeiling: unused };
  }
  return {
    weight,
    advantage: graph.input(trainNames.advantage, 2),
    oldLogprob: graph.input(trainNames.oldLogprob, 2),
    ratioFloor: graph.input(trainNames.ratioFloor, 1),
    ratioCeiling: graph.input(trainNames.ratioCeiling, 1),
    ...(hasDualClip(form) ? { dualClip: graph.input(trainNames.dualClip, 1) } : {}),
    ...(klOf(form)
      ? {
          kl: {
            coefficient: graph.input(trainNames.klCoefficient, 1),
            referenceLogprob: graph.input(trainNames.referenceLogprob, 2),
          },
        }
      : {}),
  };
}
