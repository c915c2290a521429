/** @file What an adapter adds to a matrix product, and its gradient rule: only A and B learn, the matrix never does. */
import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";
import type { GradientTape } from "./tape.ts";

/** A weight of a graph, which an adapter may accompany. */
export interface Weight extends Value {
  readonly adapter?: Adapter;
}

export interface Adapter {
  /** [m · rank, in] of the m adapted blocks. */
  readonly a: Value;
  /** [Σ columns of adapted blocks, rank]. */
  readonly b: Value;
  readonly rank: number;
  readonly scale: number;
  /** How the output columns of the weight are divided; those that are not adapted have neither A nor B. */
  readonly blocks: readonly { readonly columns: number; readonly isAdapted: boolean }[];
  /** The weight holds scale · B · A already, so that only the gradients of A and B are left to do. */
  readonly isMerged: boolean;
}

/** y[N, out] + scale · (x·Aᵀ)·Bᵀ, each block of columns by its own A and B. */
export function addLowRank(graph: GraphBuilder, x: Value, y: Value, adapter: Adapter | undefined): Value {
  if (!adapter || adapter.isMerged) return y;
  const { blocks, scale } = adapter;
  const inner = innerProducts(graph, x, adapter);
  const bs = outerMatrices(graph, adapter.b, adapter);
  let next = 0;
  const sums = split(graph, y, columnsOf(blocks), 1).map((part, i) => {
    if (!blocks[i]!.isAdapted) return part;
    const at = next++;
    return graph.node("Gemm", [inner[at]!, bs[at]!, part], { transB: 1, alpha: { float: scale } });
  });
  return join(graph, sums, 1);
}

/** Adds to the gradients of A and B, and to that of x what flows back through them unless the weight's does so. */
export function returnLowRank(tape: GradientTape, x: Value, dy: Value, adapter: Adapter | undefined): void {
  if (!adapter) return;
  const { graph } = tape;
  const { a, b, blocks, scale } = adapter;
  const alpha = { float: scale };
  const dys = split(graph, dy, columnsOf(blocks), 1).filter((_, i) => blocks[i]!.isAdapted);
  const inner = innerProducts(graph, x, adapter); // again, for it is small: the runtime computes equal nodes once
  const bs = outerMatrices(graph, b, adapter);
  const dInner = join(
    graph,
    dys.map((part, i) => graph.node("Gemm", [part, bs[i]!], { alpha })),
    1,
  );
  tape.add(a, (soFar) => graph.node("Gemm", [dInner, x, ...(soFar ? [soFar] : [])], { transA: 1 }));
  tape.add(b, (soFar) => {
    const before = soFar && outerMatrices(graph, soFar, adapter);
    const after = dys.map((part, i) =>
      graph.node("Gemm", [part, inner[i]!, ...(before ? [before[i]!] : [])], { transA: 1, alpha }),
    );
    return join(graph, after, 0);
  });
  if (!adapter.isMerged) tape.add(x, (soFar) => graph.node("Gemm", [dInner, a, ...(soFar ? [soFar] : [])]));
}

/** x·Aᵀ of every adapted block, [N, rank] each. */
function innerProducts(graph: GraphBuilder, x: Value, { a, rank, blocks }: Adapter): Value[] {
  const all = graph.node("Gemm", [x, a], { transB: 1 });
  return split(
    graph,
    all,
    blocks.filter(({ isAdapted }) => isAdapted).map(() => rank),
    1,
  );
}

/** Rows of B, or of its gradient, that belong to each adapted block. */
function outerMatrices(graph: GraphBuilder, b: Value, { blocks }: Adapter): Value[] {
  return split(graph, b, columnsOf(blocks.filter(({ isAdapted }) => isAdapted)), 0);
}

const columnsOf = (blocks: Adapter["blocks"]) => blocks.map(({ columns }) => columns);

function split(graph: GraphBuilder, x: Value, sizes: readonly number[], axis: number): Value[] {
  if (sizes.length === 1) return [x];
  return graph.nodes("Split", [x, graph.constant(sizes, [sizes.length], "int64")], {
    outputs: sizes.map(() => "float32" as const),
    attributes: { axis },
  });
}

function join(graph: GraphBuilder, parts: readonly Value[], axis: number): Value {
  return parts.length === 1 ? parts[0]! : graph.node("Concat", parts, { axis });
}
