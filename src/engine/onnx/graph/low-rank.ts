/**
 * @file What a LoRA adapter adds to a matrix product, with its gradient rule. Only A and B are trained; the matrix is
 * frozen.
 */
import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";
import type { GraphTrace } from "./trace.ts";

/** A weight of the graph, with its adapter if it has one. */
export interface Weight extends Value {
  readonly adapter?: Adapter;
}

export interface Adapter {
  /** [m · rank, in] for m adapted blocks. */
  readonly a: Value;
  /** [Σ columns of the adapted blocks, rank]. */
  readonly b: Value;
  readonly rank: number;
  readonly scale: number;
  /** How the output columns of the weight are divided into blocks. A block that is not adapted has neither A nor B. */
  readonly blocks: readonly { readonly columns: number; readonly isAdapted: boolean }[];
  /** True if the weight already includes scale · B · A; then only the gradients of A and B are computed. */
  readonly isMerged: boolean;
}

/** y[N, out] + scale · (x·Aᵀ)·Bᵀ, where each block of columns has its own A and B. */
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

/** Adds to the gradients of A and B and, unless the adapter is merged into the weight, to the gradient of x. */
export function lowRankBackward(trace: GraphTrace, x: Value, dy: Value, adapter: Adapter | undefined): void {
  if (!adapter) return;
  const { graph } = trace;
  const { a, b, blocks, scale } = adapter;
  const alpha = { float: scale };
  const dys = split(graph, dy, columnsOf(blocks), 1).filter((_, i) => blocks[i]!.isAdapted);
  const inner = innerProducts(graph, x, adapter); // built a second time because it is small; the runtime merges equal nodes and computes them once
  const bs = outerMatrices(graph, b, adapter);
  const dInner = join(
    graph,
    dys.map((part, i) => graph.node("Gemm", [part, bs[i]!], { alpha })),
    1,
  );
  trace.add(a, (soFar) => graph.node("Gemm", [dInner, x, ...(soFar ? [soFar] : [])], { transA: 1 }));
  trace.add(b, (soFar) => {
    const before = soFar && outerMatrices(graph, soFar, adapter);
    const after = dys.map((part, i) =>
      graph.node("Gemm", [part, inner[i]!, ...(before ? [before[i]!] : [])], { transA: 1, alpha }),
    );
    return join(graph, after, 0);
  });
  if (!adapter.isMerged) trace.add(x, (soFar) => graph.node("Gemm", [dInner, a, ...(soFar ? [soFar] : [])]));
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

/** The rows of B, or of its gradient, that belong to each adapted block. */
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
