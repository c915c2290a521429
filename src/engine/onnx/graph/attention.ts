/**
 * @file Causal self-attention with its gradient rule, computed in blocks of queries. A block skips the keys after its
 * last query.
 */
import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";
import { plus } from "./composites.ts";
import type { GraphTrace } from "./trace.ts";

/**
 * Number of query blocks. With n blocks a share of (n − 1) / 2n of all scores is never computed, but the matrix
 * products become smaller.
 */
export const QUERY_BLOCKS = 4;

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Inputs that every attention layer of one graph shares. */
export interface AttentionInputs {
  /** int64 [4] = [B, T, heads + 2·kvHeads, headDim]. */
  readonly shape: Value;
  /** Where each query block begins, followed by T: int64 [QUERY_BLOCKS + 1], strictly increasing from 0. */
  readonly edges: Value;
  /** int64 [1]: P, the number of tokens before this run, whose keys and values are inputs. Absent if there are none. */
  readonly past?: Value;
  /** Added to the scores, [T, P + T]: 0 where a query may attend, very negative elsewhere. */
  readonly mask: Value;
  /** [T', headDim / 2], T' ≥ P + T. */
  readonly cos: Value;
  readonly sin: Value;
  readonly negativeSin: Value;
}

/** One block of queries: rows [from, to) of every query head, which attend to keys [0, seen). */
interface Block {
  readonly from: Value;
  readonly to: Value;
  /** P + to. */
  readonly seen: Value;
  /** [G·(to − from), seen]. */
  readonly mask: Value;
  /** Pads [.., .., .., `seen` of the previous block] to this block's `seen`. */
  readonly pads: Value;
}

export interface SharedAttention extends AttentionInputs, AttentionShape {
  readonly blocks: readonly Block[];
}

/** What every layer needs in the same form, computed once per run. */
export function shareAttention(graph: GraphBuilder, inputs: AttentionInputs, shape: AttentionShape): SharedAttention {
  const { past } = inputs;
  const int64s = (...values: number[]) => graph.constant(values, [values.length], "int64");
  const edge = (i: number) => graph.node("Slice", [inputs.edges, int64s(i), int64s(i + 1)], {}, { type: "int64" });
  const blocks = Array.from({ length: QUERY_BLOCKS }, (_, i): Block => {
    const [from, to] = [edge(i), edge(i + 1)];
    const seen = past ? graph.node("Add", [past, to], {}, { type: "int64" }) : to;
    const zero = int64s(0);
    const starts = graph.node("Concat", [from, zero], { axis: 0 }, { type: "int64" });
    const ends = graph.node("Concat", [to, seen], { axis: 0 }, { type: "int64" });
    const one = graph.node("Slice", [inputs.mask, starts, ends]);
    const wider = graph.node("Sub", [to, from], {}, { type: "int64" });
    return {
      from,
      to,
      seen,
      mask: graph.node("Concat", new Array<Value>(shape.heads / shape.kvHeads).fill(one), { axis: 0 }),
      pads: graph.node("Concat", [int64s(0, 0, 0, 0, 0, 0, 0), wider], { axis: 0 }, { type: "int64" }),
    };
  });
  return { ...inputs, ...shape, blocks };
}

/** Keys with the rotary embedding applied, and values: [B, kvHeads, T, headDim] each. */
export interface KeysValues {
  readonly keys: Value;
  readonly values: Value;
}

export interface Heads extends KeysValues {
  /** With the rotary embedding and the scale applied: [B, heads, T, headDim]. */
  readonly queries: Value;
}

/**
 * Splits packed qkv [N, (heads + 2·kvHeads)·headDim] into heads and applies the rotary embedding. The scale is applied
 * to the queries, because they are fewer numbers than the scores.
 */
export function splitHeads(trace: GraphTrace, qkv: Value, shared: SharedAttention): Heads {
  const { graph } = trace;
  const { heads, kvHeads, headDim } = shared;
  const { reshape, split, rotate } = shorthand(graph, shared);
  const scale = graph.scalar(1 / Math.sqrt(headDim));
  const byHead = graph.node("Transpose", [graph.node("Reshape", [qkv, shared.shape])], { perm: [0, 2, 1, 3] });
  const [qk, values] = split(byHead, heads + kvHeads, kvHeads);
  const [q, keys] = split(rotate(qk, shared.sin), heads, kvHeads);
  const queries = graph.node("Mul", [q, scale]);
  // recorded at the keys: whichever weights are trained, keys and values always receive a gradient
  trace.record(keys, (dKeys) => {
    const dQueries = trace.gradient(queries) ?? graph.node("Mul", [queries, graph.scalar(0)]);
    const dQ = graph.node("Mul", [dQueries, scale]);
    const dQk = rotate(graph.node("Concat", [dQ, dKeys], { axis: 1 }), shared.negativeSin);
    const dAll = graph.node("Concat", [dQk, trace.gradient(values)!], { axis: 1 });
    const dRows = graph.node("Transpose", [dAll], { perm: [0, 2, 1, 3] });
    trace.add(qkv, (soFar) => plus(graph, soFar, reshape(dRows, -1, (heads + 2 * kvHeads) * headDim)));
  });
  return { queries, keys, values };
}

/**
 * Causal self-attention → [N, heads·headDim]. The query heads that share a key head are folded into rows, so that keys
 * are never repeated and their gradients are summed inside one matrix product.
 * @param past keys and values [1, kvHeads, P, headDim] that precede every sequence; their gradients are summed over the
 * batch
 */
export function attend(trace: GraphTrace, own: Heads, shared: SharedAttention, past?: KeysValues): Value {
  const { graph } = trace;
  const { heads, headDim, blocks } = shared;
  const { reshape } = shorthand(graph, shared);
  const k = past ? withPast(graph, past.keys, own.keys, shared) : own.keys;
  const v = past ? withPast(graph, past.values, own.values, shared) : own.values;
  const parts = blocks.map((block) => attendBlock(graph, { queries: own.queries, k, v }, block, shared));
  const o = graph.node(
    "Concat",
    parts.map(({ o }) => reshape(o, 0, heads, -1, headDim)),
    { axis: 2 },
  );
  const byRow = graph.node("Transpose", [o], { perm: [0, 2, 1, 3] });
  const y = reshape(byRow, -1, heads * headDim);

  trace.record(y, (dy) => {
    const outputShape = graph.node("Shape", [byRow], {}, { type: "int64" });
    const dO = graph.node("Transpose", [graph.node("Reshape", [dy, outputShape])], { perm: [0, 2, 1, 3] });
    let dKeys: Value | undefined; // [B, KV, D, keys so far]: transposed, because the smaller operand of the product then is
    let dValues: Value | undefined;
    const dQueries = blocks.map((block, i) => {
      const gradients = blockBackward(graph, { ...parts[i]!, dO }, block, shared);
      const padded = (soFar: Value | undefined) => soFar && graph.node("Pad", [soFar, block.pads]);
      dKeys = plus(graph, padded(dKeys), gradients.dKeys);
      dValues = plus(graph, padded(dValues), gradients.dValues);
      return reshape(gradients.dQueries, 0, heads, -1, headDim);
    });
    trace.add(own.queries, (soFar) => plus(graph, soFar, graph.node("Concat", dQueries, { axis: 2 })));
    const swapLastAxes = (x: Value) => graph.node("Transpose", [x], { perm: [0, 1, 3, 2] });
    keysBackward(trace, swapLastAxes(dKeys!), { past: past?.keys, own: own.keys }, shared);
    keysBackward(trace, swapLastAxes(dValues!), { past: past?.values, own: own.values }, shared);
  });
  return y;
}

/** `past`, repeated for each sequence, followed by the sequence's own keys or values: [B, KV, P + T, D]. */
function withPast(graph: GraphBuilder, past: Value, own: Value, { shape }: SharedAttention): Value {
  const int64s = (...values: number[]) => graph.constant(values, [values.length], "int64");
  const batch = graph.node("Slice", [shape, int64s(0), int64s(1)], {}, { type: "int64" });
  const repeats = graph.node("Concat", [batch, int64s(1, 1, 1)], { axis: 0 }, { type: "int64" });
  return graph.node("Concat", [graph.node("Expand", [past, repeats]), own], { axis: 2 });
}

/** Splits the gradient of keys or values [B, KV, P + T, D] between `past` and the sequences' own. */
function keysBackward(
  trace: GraphTrace,
  gradient: Value,
  to: { readonly past: Value | undefined; readonly own: Value },
  shared: SharedAttention,
): void {
  const { graph } = trace;
  const { past } = to;
  if (!past || !shared.past) {
    trace.add(to.own, (soFar) => plus(graph, soFar, gradient));
    return;
  }
  const int64s = (...values: number[]) => graph.constant(values, [values.length], "int64");
  const rows = (from: Value, end: Value) => graph.node("Slice", [gradient, from, end, int64s(2)]);
  const ofPast = graph.node("ReduceSum", [rows(int64s(0), shared.past), int64s(0)], { keepdims: 1 });
  trace.add(past, (soFar) => plus(graph, soFar, ofPast));
  trace.add(to.own, (soFar) => plus(graph, soFar, rows(shared.past!, int64s(2 ** 31 - 1))));
}

function shorthand(graph: GraphBuilder, { kvHeads, headDim, ...shared }: SharedAttention) {
  const start = graph.constant([0], [1], "int64");
  const first = shared.past ?? start;
  const axis = graph.constant([2], [1], "int64");
  const reshape = (x: Value, ...dims: number[]) =>
    graph.node("Reshape", [x, graph.constant(dims, [dims.length], "int64")]);
  const rows = (x: Value, from: Value, to: Value) => graph.node("Slice", [x, from, to, axis]);
  return {
    reshape,
    split: (x: Value, first: number, second: number) =>
      graph.nodes("Split", [x, graph.constant([first, second], [2], "int64")], {
        outputs: ["float32", "float32"],
        attributes: { axis: 1 },
      }) as [Value, Value],
    rotate: (x: Value, sin: Value) =>
      graph.node("RotaryEmbedding", [x, first, shared.cos, sin], {}, { domain: "com.microsoft" }),
    swap: (x: Value) => graph.node("Transpose", [x], { perm: [0, 1, 3, 2] }),
    /** The rows of a block from every head, [B, KV, G·block, D]. */
    folded: (x: Value, { from, to }: Block) => reshape(rows(x, from, to), 0, kvHeads, -1, headDim),
    /** The keys or values that a block may attend to. */
    seen: (x: Value, { seen }: Block) => rows(x, start, seen),
  };
}

interface Attended {
  readonly queries: Value;
  readonly keys: Value;
  readonly values: Value;
  readonly p: Value;
  readonly o: Value;
}

function attendBlock(
  graph: GraphBuilder,
  { queries, k, v }: { readonly queries: Value; readonly k: Value; readonly v: Value },
  block: Block,
  shared: SharedAttention,
): Attended {
  const { folded, seen, swap } = shorthand(graph, shared);
  const [rows, keys, values] = [folded(queries, block), seen(k, block), seen(v, block)];
  const scores = graph.node("Add", [graph.node("MatMul", [rows, swap(keys)]), block.mask]);
  const p = graph.node("Softmax", [scores], { axis: -1 });
  return { queries: rows, keys, values, p, o: graph.node("MatMul", [p, values]) };
}

/** The softmax rule uses rowsum(dP·P) = rowsum(dO·O), as FlashAttention does. */
function blockBackward(
  graph: GraphBuilder,
  { queries, keys, values, p, o, dO: dOutput }: Attended & { readonly dO: Value },
  block: Block,
  shared: SharedAttention,
): { dQueries: Value; dKeys: Value; dValues: Value } {
  const { folded, swap } = shorthand(graph, shared);
  const dO = folded(dOutput, block);
  const dP = graph.node("MatMul", [dO, swap(values)]);
  const lastAxis = graph.constant([-1], [1], "int64");
  const rowSum = graph.node("ReduceSum", [graph.node("Mul", [dO, o]), lastAxis], { keepdims: 1 });
  const dScores = graph.node("Mul", [p, graph.node("Sub", [dP, rowSum])]);
  return {
    dQueries: graph.node("MatMul", [dScores, keys]),
    dKeys: graph.node("MatMul", [swap(queries), dScores]),
    dValues: graph.node("MatMul", [swap(dO), p]),
  };
}
