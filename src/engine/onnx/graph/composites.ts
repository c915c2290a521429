/**
 * @file The pieces a decoder-only transformer is made of, each a forward graph and a hand-written gradient rule.
 * Only operations that the CPU and the WebGPU provider both run correctly are used (no second output of
 * SimplifiedLayerNormalization, no LogSoftmax, int32 indices). Activations are [N, width], N = B·T rows.
 */
import type { GraphBuilder, Value } from "./builder.ts";
import type { GradientTape } from "./tape.ts";

const MICROSOFT = { domain: "com.microsoft" };

/** Adds `value` to what is there. */
function plus(graph: GraphBuilder, soFar: Value | undefined, value: Value): Value {
  return soFar ? graph.node("Add", [soFar, value]) : value;
}

/** x[N, in] · Wᵀ + residual, W[out, in] as Hugging Face stores it. */
export function linear(tape: GradientTape, x: Value, weight: Value, residual: Value | null = null): Value {
  const { graph } = tape;
  const y = graph.node("Gemm", [x, weight, ...(residual ? [residual] : [])], { transB: 1 });
  tape.record(y, (dy) => {
    if (residual) tape.add(residual, (soFar) => plus(graph, soFar, dy));
    tape.add(x, (soFar) => graph.node("Gemm", [dy, weight, ...(soFar ? [soFar] : [])]));
    tape.add(weight, (soFar) => graph.node("Gemm", [dy, x, ...(soFar ? [soFar] : [])], { transA: 1 }));
  });
  return y;
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
    tape.add(gain, (soFar) =>
      plus(
        graph,
        soFar,
        graph.node("ReduceSum", [graph.node("Mul", [dy, normal]), graph.constant([0], [1], "int64")], { keepdims: 0 }),
      ),
    );
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

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Inputs that every attention layer of one graph shares. */
export interface AttentionInputs {
  /** int64 [4] = [B, T, heads + 2·kvHeads, headDim]. */
  readonly shape: Value;
  /** Added to the scores, [G·T, T]: 0 where a row may look, very negative where not. G = heads / kvHeads. */
  readonly mask: Value;
  /** [T', headDim / 2], T' ≥ T. */
  readonly cos: Value;
  readonly sin: Value;
  readonly negativeSin: Value;
}

/**
 * Causal self-attention with rotary positions over packed qkv [N, (heads + 2·kvHeads)·headDim] → [N, heads·headDim].
 * The query heads of one key head are folded into rows, so that keys are never repeated and their gradients are
 * summed inside one matrix product. Softmax's rule uses rowsum(dP·P) = rowsum(dO·O), as FlashAttention does.
 */
export function attention(tape: GradientTape, qkv: Value, shared: AttentionInputs, shape: AttentionShape): Value {
  const { graph } = tape;
  const { heads, kvHeads, headDim } = shape;
  const scale = graph.scalar(1 / Math.sqrt(headDim));
  const start = graph.constant([0], [1], "int64");
  const reshape = (x: Value, ...dims: number[]) =>
    graph.node("Reshape", [x, graph.constant(dims, [dims.length], "int64")]);
  const swap = (x: Value) => graph.node("Transpose", [x], { perm: [0, 1, 3, 2] });
  const split = (x: Value, first: number, second: number) =>
    graph.nodes("Split", [x, graph.constant([first, second], [2], "int64")], {
      outputs: ["float32", "float32"],
      attributes: { axis: 1 },
    }) as [Value, Value];
  const rotate = (x: Value, sin: Value) => graph.node("RotaryEmbedding", [x, start, shared.cos, sin], {}, MICROSOFT);

  const byHead = graph.node("Transpose", [graph.node("Reshape", [qkv, shared.shape])], { perm: [0, 2, 1, 3] });
  const [qk, v] = split(byHead, heads + kvHeads, kvHeads);
  const [q, k] = split(rotate(qk, shared.sin), heads, kvHeads);
  const rows = reshape(q, 0, kvHeads, -1, headDim); // [B, KV, G·T, D]
  const scores = graph.node("Add", [graph.node("Mul", [graph.node("MatMul", [rows, swap(k)]), scale]), shared.mask]);
  const p = graph.node("Softmax", [scores], { axis: -1 });
  const o = graph.node("MatMul", [p, v]);
  const byRow = graph.node("Transpose", [reshape(o, 0, heads, -1, headDim)], { perm: [0, 2, 1, 3] });
  const y = reshape(byRow, -1, heads * headDim);

  tape.record(y, (dy) => {
    const outputShape = graph.node("Shape", [byRow], {}, { type: "int64" });
    const dByHead = graph.node("Transpose", [graph.node("Reshape", [dy, outputShape])], { perm: [0, 2, 1, 3] });
    const dO = reshape(dByHead, 0, kvHeads, -1, headDim);
    const dV = graph.node("MatMul", [swap(p), dO]);
    const dP = graph.node("MatMul", [dO, swap(v)]);
    const rowSum = graph.node("ReduceSum", [graph.node("Mul", [dO, o]), graph.constant([-1], [1], "int64")], {
      keepdims: 1,
    });
    const dScores = graph.node("Mul", [graph.node("Mul", [p, graph.node("Sub", [dP, rowSum])]), scale]);
    const dQ = reshape(graph.node("MatMul", [dScores, k]), 0, heads, -1, headDim);
    const dK = graph.node("MatMul", [swap(dScores), rows]);
    const dQk = rotate(graph.node("Concat", [dQ, dK], { axis: 1 }), shared.negativeSin);
    const dAll = graph.node("Transpose", [graph.node("Concat", [dQk, dV], { axis: 1 })], { perm: [0, 2, 1, 3] });
    tape.add(qkv, (soFar) => plus(graph, soFar, reshape(dAll, -1, (heads + 2 * kvHeads) * headDim)));
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
 * log softmax(x · headᵀ) of each row's target → [R, 1].
 * @param target int32 [R, 1]
 */
export function targetLogprobs(tape: GradientTape, x: Value, head: Value, target: Value): Value {
  const { graph } = tape;
  const lastAxis = graph.constant([1], [1], "int64");
  const logits = graph.node("Gemm", [x, head], { transB: 1 });
  const shifted = graph.node("Sub", [logits, graph.node("ReduceMax", [logits, lastAxis], { keepdims: 1 })]);
  const exps = graph.node("Exp", [shifted]);
  const sum = graph.node("ReduceSum", [exps, lastAxis], { keepdims: 1 });
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
