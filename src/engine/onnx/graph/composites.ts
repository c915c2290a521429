/**
 * @file The operations of a decoder-only transformer, each with a forward graph and a hand-written gradient rule. They
 * use only ONNX operators that both the CPU and the WebGPU provider run correctly (no second output of
 * SimplifiedLayerNormalization, no LogSoftmax, int32 indices). Activations are [N, width] with N = B·T rows.
 */
import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";
import { addLowRank, lowRankBackward, type Weight } from "./low-rank.ts";
import type { GraphTrace } from "./trace.ts";

/** soFar + value, or just `value` if there is nothing to add to. */
export function plus(graph: GraphBuilder, soFar: Value | undefined, value: Value): Value {
  return soFar ? graph.node("Add", [soFar, value]) : value;
}

/** x[N, in] · Wᵀ + residual, with W[out, in] as Hugging Face stores it, and with the weight's adapter if it has one. */
export function linear(trace: GraphTrace, x: Value, weight: Weight, residual: Value | null = null): Value {
  const { graph } = trace;
  const plain = graph.node("Gemm", [x, weight, ...(residual ? [residual] : [])], { transB: 1 });
  const y = addLowRank(graph, x, plain, weight.adapter);
  trace.record(y, (dy) => {
    if (residual) trace.add(residual, (soFar) => plus(graph, soFar, dy));
    linearBackward(trace, { x, weight }, dy);
  });
  return y;
}

/** x[N, in] · Wᵀ + bias[out]; Gemm broadcasts the bias over the rows. */
export function biasedLinear(trace: GraphTrace, x: Value, weight: Weight, bias: Value): Value {
  const { graph } = trace;
  const y = addLowRank(graph, x, graph.node("Gemm", [x, weight, bias], { transB: 1 }), weight.adapter);
  trace.record(y, (dy) => {
    trace.add(bias, (soFar) => plus(graph, soFar, sumOverRows(graph, dy)));
    linearBackward(trace, { x, weight }, dy);
  });
  return y;
}

function linearBackward(trace: GraphTrace, { x, weight }: { readonly x: Value; readonly weight: Weight }, dy: Value) {
  const { graph } = trace;
  trace.add(x, (soFar) => graph.node("Gemm", [dy, weight, ...(soFar ? [soFar] : [])]));
  trace.add(weight, (soFar) => graph.node("Gemm", [dy, x, ...(soFar ? [soFar] : [])], { transA: 1 }));
  lowRankBackward(trace, x, dy, weight.adapter);
}

/** [N, n] → [n]. */
function sumOverRows(graph: GraphBuilder, x: Value): Value {
  return graph.node("ReduceSum", [x, graph.constant([0], [1], "int64")], { keepdims: 0 });
}

/** x / rms(x) · gain over the last dimension. */
export function rmsNorm(trace: GraphTrace, x: Value, gain: Value, epsilon: number): Value {
  const { graph } = trace;
  const y = graph.node("SimplifiedLayerNormalization", [x, gain], {
    axis: -1,
    epsilon: { float: epsilon },
    stash_type: 1,
  });
  trace.record(y, (dy) => {
    const lastAxis = graph.constant([1], [1], "int64");
    const meanSquare = graph.node("ReduceMean", [graph.node("Mul", [x, x]), lastAxis], { keepdims: 1 });
    const inverse = graph.node("Reciprocal", [
      graph.node("Sqrt", [graph.node("Add", [meanSquare, graph.scalar(epsilon)])]),
    ]);
    const normal = graph.node("Mul", [x, inverse]);
    trace.add(gain, (soFar) => plus(graph, soFar, sumOverRows(graph, graph.node("Mul", [dy, normal]))));
    const dNormal = graph.node("Mul", [dy, gain]);
    const projection = graph.node("ReduceMean", [graph.node("Mul", [dNormal, normal]), lastAxis], { keepdims: 1 });
    const dx = graph.node("Mul", [graph.node("Sub", [dNormal, graph.node("Mul", [normal, projection])]), inverse]);
    trace.add(x, (soFar) => plus(graph, soFar, dx));
  });
  return y;
}

/** silu(gate) · up for x[N, 2F], which holds gate and up side by side. */
export function swiglu(trace: GraphTrace, x: Value, ffnWidth: number): Value {
  const { graph } = trace;
  const sizes = graph.constant([ffnWidth, ffnWidth], [2], "int64");
  const [gate, up] = graph.nodes("Split", [x, sizes], { outputs: ["float32", "float32"], attributes: { axis: 1 } }) as [
    Value,
    Value,
  ];
  const sigmoid = graph.node("Sigmoid", [gate]);
  const silu = graph.node("Mul", [gate, sigmoid]);
  const y = graph.node("Mul", [silu, up]);
  trace.record(y, (dy) => {
    const dUp = graph.node("Mul", [dy, silu]);
    // d silu = σ + silu (1 − σ)
    const slope = graph.node("Add", [
      sigmoid,
      graph.node("Mul", [silu, graph.node("Sub", [graph.scalar(1), sigmoid])]),
    ]);
    const dGate = graph.node("Mul", [graph.node("Mul", [dy, up]), slope]);
    trace.add(x, (soFar) => plus(graph, soFar, graph.node("Concat", [dGate, dUp], { axis: 1 })));
  });
  return y;
}

/**
 * Selects the rows of x[N, width] that enter the loss → [R, width].
 * @param rows int32 [R]
 * @param inverse int32 [N]: the index in the result of each row of x, or R if the row was not selected
 */
export function takeRows(
  trace: GraphTrace,
  x: Value,
  { rows, inverse, width }: { rows: Value; inverse: Value; width: number },
): Value {
  const { graph } = trace;
  const y = graph.node("Gather", [x, rows], { axis: 0 });
  trace.record(y, (dy) => {
    const none = graph.constant(new Array<number>(width).fill(0), [1, width]);
    const padded = graph.node("Concat", [dy, none], { axis: 0 });
    trace.add(x, (soFar) => plus(graph, soFar, graph.node("Gather", [padded, inverse], { axis: 0 })));
  });
  return y;
}

/**
 * The sum of each row of x[R, n] → [R, 1], computed from about √n partial sums. A plain f32 running sum over the
 * exponentials of a vocabulary of 49,152 loses up to 2e-5 of the total, always in the same direction. That put
 * gradients of SmolLM2 up to 7e-4 from exact ones (relative to the largest number of a tensor); partial sums give 1e-4.
 */
function blockwiseRowSum(graph: GraphBuilder, x: Value, n: number): Value {
  let blocks = Math.floor(Math.sqrt(n));
  while (n % blocks !== 0) blocks--;
  const blocked = graph.node("Reshape", [x, graph.constant([0, blocks, n / blocks], [3], "int64")]);
  const sums = graph.node("ReduceSum", [blocked, graph.constant([2], [1], "int64")], { keepdims: 0 });
  return graph.node("ReduceSum", [sums, graph.constant([1], [1], "int64")], { keepdims: 1 });
}

export interface Targets {
  /** int32 [R, 1]. */
  readonly target: Value;
  readonly vocabSize: number;
}

/** log softmax(x · headᵀ) at each row's target → [R, 1]. */
export function targetLogprobs(trace: GraphTrace, x: Value, head: Value, { target, vocabSize }: Targets): Value {
  const { graph } = trace;
  const lastAxis = graph.constant([1], [1], "int64");
  const logits = graph.node("Gemm", [x, head], { transB: 1 });
  const shifted = graph.node("Sub", [logits, graph.node("ReduceMax", [logits, lastAxis], { keepdims: 1 })]);
  const exps = graph.node("Exp", [shifted]);
  const sum = blockwiseRowSum(graph, exps, vocabSize);
  const y = graph.node("Sub", [graph.node("GatherElements", [shifted, target], { axis: 1 }), graph.node("Log", [sum])]);
  trace.record(y, (dy) => {
    // d logits = dy · (onehot − softmax)
    const scaled = graph.node("Mul", [exps, graph.node("Neg", [graph.node("Div", [dy, sum])])]);
    const dLogits = graph.node("ScatterElements", [scaled, target, dy], { axis: 1, reduction: "add" });
    trace.add(x, (soFar) => graph.node("Gemm", [dLogits, head, ...(soFar ? [soFar] : [])]));
    trace.add(head, (soFar) => graph.node("Gemm", [dLogits, x, ...(soFar ? [soFar] : [])], { transA: 1 }));
  });
  return y;
}
