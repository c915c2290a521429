/** @file Queries and keys normalised head by head before they are turned, as Qwen3 does it. */

import type { Value } from "../../../runtime/graph-builder.ts";
import type { AttentionShape } from "./attention.ts";
import { plus, rmsNorm } from "./composites.ts";
import type { GradientTape } from "./tape.ts";

export interface HeadNorms extends AttentionShape {
  readonly rmsEpsilon: number;
}

/**
 * RMSNorm over each head of queries and of keys in packed qkv [N, (heads + 2·kvHeads)·headDim]; values stay.
 * @param gains [headDim] each, shared by the heads
 */
export function normaliseHeads(
  tape: GradientTape,
  qkv: Value,
  gains: { readonly q: Value; readonly k: Value },
  { heads, kvHeads, headDim, rmsEpsilon }: HeadNorms,
): Value {
  const sizes = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
  const [q, k, v] = columns(tape, qkv, sizes) as [Value, Value, Value];
  const normal = (x: Value, gain: Value, width: number) =>
    reshaped(tape, rmsNorm(tape, reshaped(tape, x, headDim, width), gain, rmsEpsilon), width, headDim);
  return beside(tape, [normal(q, gains.q, sizes[0]!), normal(k, gains.k, sizes[1]!), v], sizes);
}

/** x[N, Σ sizes] cut into blocks of columns. A gradient must flow into each. */
function columns(tape: GradientTape, x: Value, sizes: readonly number[]): Value[] {
  const { graph } = tape;
  const parts = split(tape, x, sizes);
  // recorded at the first part: on the way back all that uses any part has been passed by then
  tape.record(parts[0]!, () => {
    const gradients = parts.map((part) => tape.gradient(part)!);
    tape.add(x, (soFar) => plus(graph, soFar, graph.node("Concat", gradients, { axis: 1 })));
  });
  return parts;
}

function beside(tape: GradientTape, parts: readonly Value[], sizes: readonly number[]): Value {
  const { graph } = tape;
  const y = graph.node("Concat", parts, { axis: 1 });
  tape.record(y, (dy) => {
    for (const [i, gradient] of split(tape, dy, sizes).entries())
      tape.add(parts[i]!, (soFar) => plus(graph, soFar, gradient));
  });
  return y;
}

/** Rows of another width; `was` is the width on the way back. */
function reshaped(tape: GradientTape, x: Value, width: number, was: number): Value {
  const { graph } = tape;
  const to = (value: Value, columns: number) =>
    graph.node("Reshape", [value, graph.constant([-1, columns], [2], "int64")]);
  const y = to(x, width);
  tape.record(y, (dy) => tape.add(x, (soFar) => plus(graph, soFar, to(dy, was))));
  return y;
}

function split({ graph }: GradientTape, x: Value, sizes: readonly number[]): Value[] {
  return graph.nodes("Split", [x, graph.constant(sizes, [sizes.length], "int64")], {
    outputs: sizes.map(() => "float32" as const),
    attributes: { axis: 1 },
  });
}
