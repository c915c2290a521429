import { expect, test } from "vitest";
import { randomOf } from "../../../base/random.ts";
import { GraphBuilder, type Value } from "../../../runtime/graph-builder.ts";
import { createSession, type Tensor } from "../../../runtime/onnx.ts";
import { blockEdges } from "../positions.ts";
import { attend, QUERY_BLOCKS, shareAttention, splitHeads } from "./attention.ts";
import { biasedLinear, linear, rmsNorm, swiglu, takeRows, targetLogprobs } from "./composites.ts";
import { normaliseHeads } from "./head-norms.ts";
import type { Adapter } from "./low-rank.ts";
import { GraphTrace } from "./trace.ts";

interface Case {
  /** Shapes of the inputs that are differentiated. */
  readonly variables: Readonly<Record<string, readonly number[]>>;
  readonly fixed?: Readonly<Record<string, Tensor>>;
  readonly outputShape: readonly number[];
  readonly build: (trace: GraphTrace, inputs: Readonly<Record<string, Value>>) => Value;
}

const B = 2;
const T = 5;
const D = 4;

function rope(): Record<string, Tensor> {
  const angles = Array.from(
    { length: T * (D / 2) },
    (_, i) => Math.floor(i / (D / 2)) * 10000 ** (-(i % (D / 2)) / (D / 2)),
  );
  const of = (f: (x: number) => number): Tensor => ({ data: Float32Array.from(angles, f), shape: [T, D / 2] });
  return { cos: of(Math.cos), sin: of(Math.sin), negative_sin: of((x) => -Math.sin(x)) };
}

function attentionCase(heads: number, kvHeads: number): Case {
  const mask = Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0));
  return {
    variables: { qkv: [B * T, (heads + 2 * kvHeads) * D] },
    fixed: {
      ...rope(),
      mask: { data: mask, shape: [T, T] },
      edges: { data: BigInt64Array.from(blockEdges(T), BigInt), shape: [QUERY_BLOCKS + 1] },
      shape: { data: BigInt64Array.from([B, T, heads + 2 * kvHeads, D].map(BigInt)), shape: [4] },
    },
    outputShape: [B * T, heads * D],
    build: (trace, { qkv, shape, edges, mask, cos, sin, negative_sin }) => {
      const inputs = { shape: shape!, edges: edges!, mask: mask!, cos: cos!, sin: sin!, negativeSin: negative_sin! };
      const shared = shareAttention(trace.graph, inputs, { heads, kvHeads, headDim: D });
      return attend(trace, splitHeads(trace, qkv!, shared), shared);
    },
  };
}

/**
 * A weight of 4 + 3 + 2 rows in three blocks. The first and the last are adapted, and the weight is frozen, as in
 * training.
 */
function adaptedCase(isMerged: boolean): Case {
  const [rank, scale] = [2, 1.5];
  const blocks = [
    { columns: 4, isAdapted: true },
    { columns: 3, isAdapted: false },
    { columns: 2, isAdapted: true },
  ];
  const w = { data: Float32Array.from({ length: 9 * 5 }, (_, i) => Math.sin(i)), shape: [9, 5] };
  return {
    variables: { x: [6, 5], a: [2 * rank, 5], b: [4 + 2, rank], r: [6, 9] },
    fixed: { w },
    outputShape: [6, 9],
    build: (trace, { x, a, b, r, w }) => {
      const weight = isMerged ? mergedInGraph(trace, [w!, a!, b!], { scale }) : w!;
      trace.freeze(weight);
      const adapter: Adapter = { a: a!, b: b!, rank, scale, blocks, isMerged };
      return linear(trace, x!, { ...weight, adapter }, r!);
    },
  };
}

/** What the host does between updates: w + scale · B · A, block by block. */
function mergedInGraph({ graph }: GraphTrace, [w, a, b]: [Value, Value, Value], { scale }: { scale: number }): Value {
  const rows = (x: Value, from: number, to: number) =>
    graph.node("Slice", [x, graph.constant([from], [1], "int64"), graph.constant([to], [1], "int64")]);
  const plus = (block: Value, low: Value, high: Value) =>
    graph.node("Gemm", [high, low, block], { alpha: { float: scale } });
  const first = plus(rows(w, 0, 4), rows(a, 0, 2), rows(b, 0, 4));
  const last = plus(rows(w, 7, 9), rows(a, 2, 4), rows(b, 4, 6));
  return graph.node("Concat", [first, rows(w, 4, 7), last], { axis: 0 });
}

const cases: Record<string, Case> = {
  "linear with an adapter of two of its three blocks": adaptedCase(false),
  "linear with that adapter merged": adaptedCase(true),
  "linear with a bias and an adapter of all of it": {
    variables: { x: [6, 5], a: [3, 5], b: [7, 3] },
    fixed: {
      w: { data: Float32Array.from({ length: 35 }, (_, i) => Math.cos(i)), shape: [7, 5] },
      bias: { data: Float32Array.from({ length: 7 }, (_, i) => Math.sin(i)), shape: [7] },
    },
    outputShape: [6, 7],
    build: (trace, { x, a, b, w, bias }) => {
      trace.freeze(w!);
      trace.freeze(bias!);
      const blocks = [{ columns: 7, isAdapted: true }];
      const adapter: Adapter = { a: a!, b: b!, rank: 3, scale: 0.5, blocks, isMerged: false };
      return biasedLinear(trace, x!, { ...w!, adapter }, bias!);
    },
  },
  linear: {
    variables: { x: [6, 5], w: [7, 5], r: [6, 7] },
    outputShape: [6, 7],
    build: (trace, { x, w, r }) => linear(trace, x!, w!, r!),
  },
  "linear without residual, its input used twice": {
    variables: { x: [6, 5], w: [5, 5] },
    outputShape: [6, 5],
    build: (trace, { x, w }) => linear(trace, x!, w!, linear(trace, x!, w!)),
  },
  "linear with a bias": {
    variables: { x: [6, 5], w: [7, 5], b: [7] },
    outputShape: [6, 7],
    build: (trace, { x, w, b }) => biasedLinear(trace, x!, w!, b!),
  },
  "heads normalised, values left alone": {
    variables: { qkv: [6, (4 + 2 + 2) * 6], gq: [6], gk: [6] },
    outputShape: [6, (4 + 2 + 2) * 6],
    build: (trace, { qkv, gq, gk }) =>
      normaliseHeads(trace, qkv!, { q: gq!, k: gk! }, { heads: 4, kvHeads: 2, headDim: 6, rmsEpsilon: 1e-5 }),
  },
  rmsNorm: {
    variables: { x: [6, 8], g: [8] },
    outputShape: [6, 8],
    build: (trace, { x, g }) => rmsNorm(trace, x!, g!, 1e-5),
  },
  swiglu: { variables: { x: [6, 10] }, outputShape: [6, 5], build: (trace, { x }) => swiglu(trace, x!, 5) },
  "attention, one key head per query head": attentionCase(3, 3),
  "attention, grouped queries": attentionCase(4, 2),
  takeRows: {
    variables: { x: [6, 4] },
    fixed: {
      rows: { data: Int32Array.from([1, 4, 5]), shape: [3] },
      inverse: { data: Int32Array.from([3, 0, 3, 3, 1, 2]), shape: [6] },
    },
    outputShape: [3, 4],
    build: (trace, { x, rows, inverse }) => takeRows(trace, x!, { rows: rows!, inverse: inverse!, width: 4 }),
  },
  targetLogprobs: {
    variables: { x: [5, 6], head: [9, 6] },
    fixed: { target: { data: Int32Array.from([0, 8, 3, 3, 5]), shape: [5, 1] } },
    outputShape: [5, 1],
    build: (trace, { x, head, target }) => targetLogprobs(trace, x!, head!, { target: target!, vocabSize: 9 }),
  },
};

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

async function compile({ variables, fixed = {}, outputShape, build }: Case) {
  const graph = new GraphBuilder();
  const trace = new GraphTrace(graph);
  const inputs: Record<string, Value> = {};
  for (const [name, shape] of Object.entries(variables)) inputs[name] = graph.input(name, shape.length);
  for (const [name, { data, shape }] of Object.entries(fixed)) {
    inputs[name] = graph.input(
      name,
      shape.length,
      data instanceof Float32Array ? "float32" : data instanceof Int32Array ? "int32" : "int64",
    );
  }
  const y = build(trace, inputs);
  trace.seed(y, graph.input("dy", outputShape.length));
  trace.backward();
  for (const [name, shape] of Object.entries(variables))
    graph.output(trace.gradient(inputs[name]!)!, `d_${name}`, shape.length);
  graph.output(y, "y", outputShape.length);
  return createSession(graph.bytes(), { threads: 1 });
}

test.each(Object.keys(cases))("%s: directional derivatives agree with central differences", async (name) => {
  const { variables, fixed = {}, outputShape } = cases[name]!;
  const session = await compile(cases[name]!);
  const random = randomOf("composites", name);
  const normals = (shape: readonly number[]) => Float32Array.from({ length: sizeOf(shape) }, () => random.normal());
  const point = Object.fromEntries(Object.entries(variables).map(([key, shape]) => [key, normals(shape)]));
  const dy = normals(outputShape);

  const run = async (at: Record<string, Float32Array>) => {
    const y = new Float32Array(sizeOf(outputShape));
    const gradients = Object.fromEntries(
      Object.entries(variables).map(([key, shape]) => [key, new Float32Array(sizeOf(shape))]),
    );
    const inputs: Record<string, Tensor> = { ...fixed, dy: { data: dy, shape: outputShape } };
    const outputs: Record<string, Tensor> = { y: { data: y, shape: outputShape } };
    for (const [key, shape] of Object.entries(variables)) {
      inputs[key] = { data: at[key]!, shape };
      outputs[`d_${key}`] = { data: gradients[key]!, shape };
    }
    await session.run(inputs, outputs);
    return { value: y.reduce((sum, value, i) => sum + value * dy[i]!, 0), gradients };
  };

  const { gradients } = await run(point);
  for (const [key, shape] of Object.entries(variables)) {
    for (let direction = 0; direction < 3; direction++) {
      const unit = normals(shape);
      const h = 1e-2;
      const moved = (by: number) => ({ ...point, [key]: point[key]!.map((x, i) => x + by * unit[i]!) });
      const [far, near] = [await run(moved(h)), await run(moved(-h))];
      const [farther, nearer] = [await run(moved(2 * h)), await run(moved(-2 * h))];
      // five-point rule: its error is of order h⁴, so f32 rounding is the larger part
      const numeric = (8 * (far.value - near.value) - (farther.value - nearer.value)) / (12 * h);
      const analytic = gradients[key]!.reduce((sum, value, i) => sum + value * unit[i]!, 0);
      const size = Math.sqrt(gradients[key]!.reduce((sum, value) => sum + value * value, 0)) * Math.sqrt(sizeOf(shape));
      expect(Math.abs(numeric - analytic), `${key}: ${numeric} against ${analytic}`).toBeLessThanOrEqual(
        1e-3 * Math.max(Math.abs(analytic), 0.05 * size),
      );
    }
  }
  await session.release();
});

test("the row sum over a large vocabulary is accurate", async () => {
  const [rows, width, vocabSize] = [8, 4, 49_152];
  const target = { data: new Int32Array(rows), shape: [rows, 1] };
  const session = await compile({
    variables: { x: [rows, width], head: [vocabSize, width] },
    fixed: { target },
    outputShape: [rows, 1],
    build: (trace, inputs) =>
      targetLogprobs(trace, inputs["x"]!, inputs["head"]!, { target: inputs["target"]!, vocabSize }),
  });
  const random = randomOf("composites", "large vocabulary");
  const normals = (count: number) => Float32Array.from({ length: count }, () => random.normal());
  const [x, head, y] = [normals(rows * width), normals(vocabSize * width), new Float32Array(rows)];
  // one token is likely, as in a trained model: the other exponentials are small but their sum matters
  x.forEach((value, i) => void (x[i] = 2 + value / 10));
  head.fill(2.5, 0, width);
  const [dx, dHead] = [new Float32Array(x.length), new Float32Array(head.length)];
  const dy = { data: new Float32Array(rows).fill(1), shape: [rows, 1] };
  await session.run(
    { ...{ target, dy }, x: { data: x, shape: [rows, width] }, head: { data: head, shape: [vocabSize, width] } },
    {
      y: { data: y, shape: [rows, 1] },
      ...{ d_x: { data: dx, shape: [rows, width] }, d_head: { data: dHead, shape: [vocabSize, width] } },
    },
  );
  for (let row = 0; row < rows; row++) {
    const logit = (id: number) =>
      Array.from({ length: width }, (_, i) => x[row * width + i]! * head[id * width + i]!).reduce((a, b) => a + b, 0);
    let sum = 0;
    for (let id = 0; id < vocabSize; id++) sum += Math.exp(logit(id));
    expect(Math.abs(y[row]! - (logit(0) - Math.log(sum)))).toBeLessThan(3e-6);
  }
  await session.release();
});
