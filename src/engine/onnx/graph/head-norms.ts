/** @file RMSNorm on each head of queries and keys, applied before the rotary embedding, as in Qwen3. */

import type { Value } from "../../../runtime/graph-builder.ts";
import type { AttentionShape } from "./attention.ts";
import { plus, rmsNorm } from "./composites.ts";
import type { GraphTrace } from "./trace.ts";

export interface HeadNorms extends AttentionShape {
  readonly rmsEpsilon: number;
}

/**
 * RMSNorm over each head of queries and of keys in packed qkv [N, (heads + 2·kvHeads)·headDim]; values are unchanged.
 * @param gains [headDim] each, shared by the heads
 */
export function normaliseHeads(
  trace: GraphTrace,
  qkv: Value,
  gains: { readonly q: Value; readonly k: Value },
  { heads, kvHeads, headDim, rmsEpsilon }: HeadNorms,
): Value {
  const sizes = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
  const [q, k, v] = columns(trace, qkv, sizes) as [Value, Value, Value];
  const normal = (x: Value, gain: Value, width: number) =>
    reshaped(trace, rmsNorm(trace, reshaped(trace, x, headDim, width), gain, rmsEpsilon), width, headDim);
  return concatColumns(trace, [normal(q, gains.q, sizes[0]!), normal(k, gains.k, sizes[1]!), v], sizes);
}

/** Splits x[N, Σ sizes] into blocks of columns. Every block must receive a gradient. */
function columns(trace: GraphTrace, x: Value, sizes: readonly number[]): Value[] {
  const { graph } = trace;
  const parts = split(trace, x, sizes);
  // recorded at the first part: the backward pass reaches it after everything that uses any of the parts
  trace.record(parts[0]!, () => {
    const gradients = parts.map((part) => trace.gradient(part)!);
    trace.add(x, (soFar) => plus(graph, soFar, graph.node("Concat", gradients, { axis: 1 })));
  });
  return parts;
}

function concatColumns(trace: GraphTrace, parts: readonly Value[], sizes: readonly number[]): Value {
  const { graph } = trace;
  const y = graph.node("Concat", parts, { axis: 1 });
  trace.record(y, (dy) => {
    for (const [i, gradient] of split(trace, dy, sizes).entries())
      trace.add(parts[i]!, (soFar) => plus(graph, soFar, gradient));
  });
  return y;
}

/** Reshapes x to rows of another width. `widthBefore` is its width before, which the backward pass restores. */
function reshaped(trace: GraphTrace, x: Value, width: number, widthBefore: number): Value {
  const { graph } = trace;
  const to = (value: Value, columns: number) =>
    graph.node("Reshape", [value, graph.constant([-1, columns], [2], "int64")]);
  const y = to(x, width);
  trace.record(y, (dy) => trace.add(x, (soFar) => plus(graph, soFar, to(dy, widthBefore))));
  return y;
}

function split({ graph }: GraphTrace, x: Value, sizes: readonly number[]): Value[] {
  return graph.nodes("Split", [x, graph.constant(sizes, [sizes.length], "int64")], {
    outputs: sizes.map(() => "float32" as const),
    attributes: { axis: 1 },
  });
}
