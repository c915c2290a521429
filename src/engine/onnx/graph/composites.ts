/**
 * @file The pieces a decoder-only transformer is made of, each a forward graph and a hand-written gradient rule.
 * Only operations that the CPU and the WebGPU provider both run correctly are used (no second output of
 * SimplifiedLayerNormalization, no LogSoftmax, int32 indices). Activations are [N, width], N = B·T rows.
 */
import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";
import { addLowRank, returnLowRank, type Weight } from "./low-rank.ts";
import type { GradientTape } from "./tape.ts";

/** Adds `value` to what is there. */
export function plus(graph: GraphBuilder, soFar: Value | undefined, value: Value): Value {
  return soFar ? graph.node("Add", [soFar, value]) : value;
}

/** x[N, in] · Wᵀ + residual, W[out, in] as Hugging Face stores it, with its adapter if it has one. */
export function linear(tape: GradientTape, x: Value, weight: Weight, residual: Value | null = null): Value {
  const { graph } = tape;
  const plain = graph.node("Gemm", [x, weight, ...(residual ? [residual] : [])], { transB: 1 });
  const y = addLowRank(graph, x, plain, weight.adapter);
  tape.record(y, (dy) => {
    if (residual) tape.add(residual, (soFar) => plus(graph, soFar, dy));
    returnLinear(tape, { x, weight }, dy);
  });
  return y;
}

/** x[N, in] · Wᵀ + bias[out], which Gemm adds to every row. */
export function biasedLinear(tape: GradientTape, x: Value, weight: Weight, bias: Value): Value {
  const { graph } = tape;
  const y = addLowRank(graph, x, graph.node("Gemm", [x, weight, bias], { transB: 1 }), weight.adapter);
  tape.record(y, (dy) => {
    tape.add(bias, (soFar) => plus(graph, soFar, sumOverRows(graph, dy)));
    returnLinear(tape, { x, weight }, dy);
  });
  return y;
}

function returnLinear(tape: GradientTape, { x, weight }: { readonly x: Value; readonly weight: Weight }, dy: Value) {
  const { graph } = tape;
  tape.add(x, (soFar) => graph.node("Gemm", [dy, weight, ...(soFar ? [soFar] : [])]));
  tape.add(weight, (soFar) => graph.node("Gemm", [dy, x, ...(soFar ? [soFar] : [])], { transA: 1 }));
  returnLowRank(tape, x, dy, weight.adapter);
}

/** [N, n] → [n]. */
function sumOverRows(graph: GraphBuilder, x: Value): Value {
  return graph.node("ReduceSum", [x, graph.constant([0], [1], "int64")], { keepdims: 0 });
}

/** x / rms(x) · gain over the last dimension. */
export function rmsNorm(tape: GradientTape, x: Value, gain: Value, epsilon: number): Value {
  const { graph } = tape;
  const y = graph.node("SimplifiedLayerNormalization", [x, gain], {
    axis: -1,
    epsilon: { float: epsilon },
    stash_type: 1,
  });
  tape.record(y, (dy) => {
    const lastAxis = graph.constant([1], [1], "int64");
    const meanSquare = graph.node("ReduceMean", [graph.node("Mul", [x, x]), lastAxis], { keepdims: 1 });
    const inverse = graph.node("Reciprocal", [
      graph.node("Sqrt", [graph.node("Add", [meanSquare, graph.scalar(epsilon)])]),
    ]);
    const normal = graph.node("Mul", [x, inverse]);
    tape.add(gain, (soFar) => plus(graph, soFar, sumOverRows(graph, graph.node("Mul", [dy, normal]))));
    const dNormal = graph.node("Mul", [dy, gain]);
    const along = graph.node("ReduceMean", [graph.node("Mul", [dNormal, normal]), lastAxis], { keepdims: 1 });
    const dx = graph.node("Mul", [graph.node("Sub", [dNormal, graph.node("Mul", [normal, along])]), inverse]);
    tape.add(x, (soFar) => plus(graph, soFar, dx));
  });
  return y;
}

/** silu(gate) · up for x[N, 2F] that holds gate and up side by side. */
export function swiglu(tape: GradientTape, x: Value, ffnWidth: number): Value {
  const { graph } = tape;
  const sizes = graph.constant([ffnWidth, ffnWidth], [2], "int64");
  const [gate, up] = graph.nodes("Split", [x, sizes], { outputs: ["float32", "float32"], attributes: { axis: 1 } }) as [
    Value,
    Value,
  ];
  const sigmoid = graph.node("Sigmoid", [gate]);
  const silu = graph.node("Mul", [gate, sigmoid]);
  const y = graph.node("Mul", [silu, up]);
  tape.record(y, (dy) => {
    const dUp = graph.node("Mul", [dy, silu]);
    // d silu = σ + silu (1 − σ)
    const slope = graph.node("Add", [
      sigmoid,
      graph.node("Mul", [silu, graph.node("Sub", [graph.scalar(1), sigmoid])]),
    ]);
    const dGate = graph.node("Mul", [graph.node("Mul", [dy, up]), slope]);
    tape.add(x, (soFar) => plus(graph, soFar, graph.node("Concat", [dGate, dUp], { axis: 1 })));
  });
  return y;
}

/**
 * The rows of x[N, width] that the loss looks at → [R, width].
 * @param rows int32 [R]
 * @param inverse int32 [N]: where each row of x went, R for a row that was not taken
 */
export function takeRows(
  tape: GradientTape,
  x: Value,
  { rows, inverse, width }: { rows: Value; inverse: Value; width: number },
): Value {
  const { graph } = tape;
  const y = graph.node("Gather", [x, rows], { axis: 0 });
  tape.record(y, (dy) => {
    const none = graph.constant(new Array<number>(width).fill(0), [1, width]);
    const padded = graph.node("Concat", [dy, none], { axis: 0 });
    tape.add(x, (soFar) => plus(graph, soFar, graph.node("Gather", [padded, inverse], { axis: 0 })));
  });
  return y;
}

/**
 * The sum of each row of x[R, n] → [R, 1], by sums of about √n numbers. One after the other in f32, the exponentials
 * of a vocabulary of 49,152 lose up to 2e-5 of their sum, always to the same side, and gradients of SmolLM2 were up to 7e-4
 * from exact ones for it (over the largest number of a tensor; 1e-4 so).
 */
function sumOfRow(graph: GraphBuilder, x: Value, n: number): Value {
  let blocks = Math.floor(Math.sqrt(n));
  while (n % blocks !== 0) blocks--;
  const apart = graph.node("Reshape", [x, graph.constant([0, blocks, n / blocks], [3], "int64")]);
  const sums = graph.node("ReduceSum", [apart, graph.constant([2], [1], "int64")], { keepdims: 0 });
  return graph.node("ReduceSum", [sums, graph.constant([1], [1], "int64")], { keepdims: 1 });
}

export interface Targets {
  /** int32 [R, 1]. */
  readonly target: Value;
  readonly vocabSize: number;
}

/** log softmax(x · headᵀ) of each row's target → [R, 1]. */
export function targetLogprobs(tape: GradientTape, x: Value, head: Value, { target, vocabSize }: Targets): Value {
  const { graph } = tape;
  const lastAxis = graph.constant([1], [1], "int64");
  const logits = graph.node("Gemm", [x, head], { transB: 1 });
  const shifted = graph.node("Sub", [logits, graph.node("ReduceMax", [logits, lastAxis], { keepdims: 1 })]);
  const exps = graph.node("Exp", [shifted]);
  const sum = sumOfRow(graph, exps, vocabSize);
  const y = graph.node("Sub", [graph.node("GatherElements", [shifted, target], { axis: 1 }), graph.node("Log", [sum])]);
  tape.record(y, (dy) => {
    // d logits = dy · (onehot − softmax)
    const spread = graph.node("Mul", [exps, graph.node("Neg", [graph.node("Div", [dy, sum])])]);
    const dLogits = graph.node("ScatterElements", [spread, target, dy], { axis: 1, reduction: "add" });
    tape.add(x, (soFar) => graph.node("Gemm", [dLogits, head, ...(soFar ? [soFar] : [])]));
    tape.add(head, (soFar) => graph.node("Gemm", [dLogits, x, ...(soFar ? [soFar] : [])], { transA: 1 }));
  });
  return y;
}
