/**
 * @file Computes all inner products in integers with ONNX Runtime: the codes are weights of a graph, which it lays out
 * for the processor's kernels. Integer sums are exact, so results do not depend on the batch or the machine.
 */
import { GraphBuilder, type Value } from "../../runtime/graph-builder.ts";
import { createSession, type Session } from "../../runtime/onnx.ts";
import type { Candidate } from "../bm25/top-k.ts";
import { halfSquares, type Scan, type ScanSource } from "./scan.ts";

/** Rows of one graph: its output fits in the cache, and the model stays below the 2 GiB limit of a protobuf. */
const SHARD_ROWS = 1 << 16;
/** Queries per run, so that the products of a shard take at most 16 MiB. */
const BATCH = 64;
/**
 * Queries have 7 bits: the sum of two 8-bit by 8-bit products overflows the 16 bits that processors without VNNI use.
 */
const QUERY_LEVELS = 63;
const ZERO = 64;

interface Shard {
  readonly session: Session;
  readonly base: number;
  readonly rows: number;
  readonly scales: Float32Array;
  /** Subtracted from every product; only for distances. */
  readonly halves: Float32Array | undefined;
}

export async function openInt8Scan(source: ScanSource, threads: number): Promise<Scan> {
  const { dimension, metric } = source;
  const shards: Shard[] = [];
  const close = async () => {
    for (const { session } of shards.splice(0)) await session.release();
  };
  try {
    for (const { base, rows, columns, squares } of columnsOf(source)) {
      const session = await createSession(graphOf(columns, { dimension, rows, metric }), { threads });
      const scales = source.scales.subarray(base, base + rows);
      const halves = metric === "l2" ? halfSquares({ ...source, scales }, squares) : undefined;
      shards.push({ session, base, rows, scales, halves });
    }
  } catch (error) {
    await close(); // a damaged page may be found halfway
    throw error;
  }
  return {
    async candidates(queries, depth) {
      const found: number[][] = [];
      for (let from = 0; from < queries.length; from += BATCH) {
        const some = queries.slice(from, from + BATCH);
        const lists = some.map((): Candidate[] => []);
        for (const shard of shards) await scanShard(shard, some, { depth, lists, dimension });
        for (const list of lists) found.push(nearest(list, depth));
      }
      return found;
    },
    close,
  };
}

async function scanShard(
  { session, base, rows, scales, halves }: Shard,
  queries: readonly Float32Array[],
  { depth, lists, dimension }: { depth: number; lists: Candidate[][]; dimension: number },
): Promise<void> {
  const k = Math.min(depth, rows);
  const shape = [queries.length, k];
  const places = new BigInt64Array(queries.length * k);
  const scores = new Float32Array(queries.length * k);
  const levels = new Uint8Array(queries.length * dimension);
  const steps = queries.map((query, i) => quantiseQuery(query, levels.subarray(i * dimension, (i + 1) * dimension)));
  await session.run(
    {
      queries: { data: levels, shape: [queries.length, dimension] },
      zero: { data: Uint8Array.of(ZERO), shape: [] },
      scales: { data: scales, shape: [rows] },
      k: { data: BigInt64Array.of(BigInt(k)), shape: [1] },
      ...(halves && {
        steps: { data: Float32Array.from(steps), shape: [queries.length, 1] },
        halves: { data: halves, shape: [rows] },
      }),
    },
    { scores: { data: scores, shape }, places: { data: places, shape } },
  );
  lists.forEach((list, i) => {
    for (let at = i * k; at < (i + 1) * k; at++) list.push({ score: scores[at]!, at: base + Number(places[at]) });
  });
}

/** Merges the best of every shard; the scores of a query are comparable across shards. */
function nearest(list: Candidate[], depth: number): number[] {
  return list
    .sort((a, b) => b.score - a.score || a.at - b.at)
    .slice(0, depth)
    .map(({ at }) => at);
}

/** @returns the value of one quantisation level */
function quantiseQuery(query: Float32Array, levels: Uint8Array): number {
  let largest = 0;
  for (const x of query) largest = Math.max(largest, Math.abs(x));
  const step = largest / QUERY_LEVELS;
  for (let i = 0; i < levels.length; i++) levels[i] = ZERO + (step > 0 ? Math.round(query[i]! / step) : 0);
  return step;
}

/** @param columns [dimension, rows] */
function graphOf(
  columns: Int8Array<ArrayBuffer>,
  { dimension, rows, metric }: { dimension: number; rows: number; metric: "ip" | "l2" },
): Uint8Array {
  const graph = new GraphBuilder();
  const codes = graph.weights("codes", columns, [dimension, rows]);
  const inputs: Value[] = [graph.input("queries", 2, "uint8"), codes, graph.input("zero", 0, "uint8")];
  const sums = graph.node("MatMulInteger", inputs, {}, { type: "int32" });
  const FLOAT = 1;
  const floats = graph.node("Cast", [sums], { to: FLOAT }, { type: "float32" });
  let scores = graph.node("Mul", [floats, graph.input("scales", 1)]);
  if (metric === "l2") {
    const products = graph.node("Mul", [scores, graph.input("steps", 2)]);
    scores = graph.node("Sub", [products, graph.input("halves", 1)]);
  }
  const [best, places] = graph.nodes("TopK", [scores, graph.input("k", 1, "int64")], {
    outputs: ["float32", "int64"],
  });
  graph.output(best!, "scores", 2);
  graph.output(places!, "places", 2);
  return graph.bytes();
}

interface Columns {
  readonly base: number;
  readonly rows: number;
  readonly columns: Int8Array<ArrayBuffer>;
  /** For the codes of each row. */
  readonly squares: Float64Array;
}

function* columnsOf({ count, dimension, codes }: ScanSource): Generator<Columns> {
  const shardAt = (base: number): Columns => {
    const rows = Math.min(SHARD_ROWS, count - base);
    return { base, rows, columns: new Int8Array(rows * dimension), squares: new Float64Array(rows) };
  };
  let shard = shardAt(0);
  let row = 0;
  let column = 0;
  for (const piece of codes()) {
    for (const code of piece) {
      shard.columns[column * shard.rows + row] = code;
      shard.squares[row]! += code * code;
      if (++column < dimension) continue;
      column = 0;
      if (++row < shard.rows) continue;
      yield shard;
      row = 0;
      shard = shardAt(shard.base + shard.rows);
    }
  }
}
