/** @file The sampling graphs of every model family. Keys and values are in caches that the graph updates in place. */

import { GraphBuilder, type Value } from "../../../runtime/graph-builder.ts";
import { adaptedPacks } from "../../huggingface/adapter-packs.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import { type LoraSettings, loraScale } from "../../lora.ts";
import { type Adapter, addLowRank } from "../graph/low-rank.ts";

/** The names of the graphs' inputs and outputs besides the weights. */
export const decodeNames = {
  ids: "ids", // int32 [B, S]
  lengths: "lengths", // int32 [B]: tokens in the cache after this run, less one
  longest: "longest", // int32 [1]: the largest number of tokens after this run
  cos: "cos",
  sin: "sin",
  key: (layer: number) => `key.${layer}`, // [B, KV, maximum, D]
  value: (layer: number) => `value.${layer}`,
  newKey: (layer: number) => `new_key.${layer}`,
  newValue: (layer: number) => `new_value.${layer}`,
  inverseTemperature: "inverse_temperature", // [B, 1]
  logprobs: "logprobs", // [B, V] at temperature 1
  probabilities: "probabilities", // [B, V] at the temperature asked for
} as const;

/**
 * "decode" feeds one token to each of B ≥ 2 sequences and returns the distribution of the next token. "append" writes S
 * ≥ 2 tokens of one sequence into its cache and returns nothing else; GroupQueryAttention does not support a batch
 * here.
 * @param lora if given and not merged, the adapter is computed beside the weights
 */
export function decodeGraph(config: ModelConfig, kind: "decode" | "append", lora?: LoraSettings): Uint8Array {
  const graph = new GraphBuilder();
  const { width } = config;
  const reshape = (x: Value, dims: number[]) =>
    graph.node("Reshape", [x, graph.constant(dims, [dims.length], "int64")]);
  const parts = layerParts(graph, config, lora);
  const ids = graph.input(decodeNames.ids, 2, "int32");
  const shared: SharedInputs = {
    lengths: graph.input(decodeNames.lengths, 1, "int32"),
    longest: graph.input(decodeNames.longest, 1, "int32"),
    cos: graph.input(decodeNames.cos, 2),
    sin: graph.input(decodeNames.sin, 2),
    shape: graph.node("Shape", [ids], {}, { type: "int64" }),
  };
  const positions = rotatesInAttention(config) ? undefined : positionsOf(graph, shared);
  const embedding = graph.input("embedding", 2);
  let x = reshape(graph.node("Gather", [embedding, ids], { axis: 0 }, { type: "float32" }), [-1, width]);
  for (let layer = 0; layer < config.layers; layer++) {
    x = decodeLayer(graph, config, x, { ...parts, layer, positions, shared });
  }
  if (kind === "decode") {
    const head = config.tied ? embedding : graph.input("head", 2);
    const logits = graph.node("Gemm", [parts.norm(x, "norm"), head], { transB: 1 });
    const tempered = graph.node("Mul", [logits, graph.input(decodeNames.inverseTemperature, 2)]);
    graph.output(graph.node("LogSoftmax", [logits], { axis: -1 }), decodeNames.logprobs, 2);
    graph.output(graph.node("Softmax", [tempered], { axis: -1 }), decodeNames.probabilities, 2);
  }
  return graph.bytes();
}

interface LayerParts {
  /** x · Wᵀ, plus what is added (a bias or a residual), plus the adapter's share where one is computed apart. */
  readonly matrix: (x: Value, pack: string, added?: Value) => Value;
  readonly norm: (x: Value, pack: string) => Value;
}

function layerParts(graph: GraphBuilder, config: ModelConfig, lora: LoraSettings | undefined): LayerParts {
  const low = lora && !lora.merge ? lowRankInputs(graph, config, lora) : () => undefined;
  return {
    matrix: (x, pack, added) =>
      addLowRank(
        graph,
        x,
        graph.node("Gemm", [x, graph.input(pack, 2), ...(added ? [added] : [])], { transB: 1 }),
        low(pack),
      ),
    norm: (x, pack) =>
      graph.node("SimplifiedLayerNormalization", [x, graph.input(pack, 1)], {
        axis: -1,
        epsilon: { float: config.rmsEpsilon },
        stash_type: 1,
      }),
  };
}

interface LayerOptions extends LayerParts {
  readonly layer: number;
  readonly shared: SharedInputs;
  /** int64 [B, S]; undefined where GroupQueryAttention applies the rotary embedding itself. */
  readonly positions: Value | undefined;
}

/** One transformer layer: attention over the cache, then the gated feed-forward part. [B·S, width] → the same. */
function decodeLayer(
  graph: GraphBuilder,
  config: ModelConfig,
  x: Value,
  { layer, shared, positions, matrix, norm }: LayerOptions,
): Value {
  const bias = config.qkvBias ? graph.input(`l${layer}.qkv_bias`, 1) : undefined;
  const qkv = matrix(norm(x, `l${layer}.norm1`), `l${layer}.qkv`, bias);
  const inputs = positions ? rotatedHeads(graph, config, { qkv, layer, norm, positions, ...shared }) : { packed: qkv };
  const attended = matrix(cachedAttention(graph, config, { ...inputs, layer, ...shared }), `l${layer}.o`, x);
  const gateUp = matrix(norm(attended, `l${layer}.norm2`), `l${layer}.gate_up`);
  const sizes = graph.constant([config.ffnWidth, config.ffnWidth], [2], "int64");
  const [gate, up] = graph.nodes("Split", [gateUp, sizes], {
    outputs: ["float32", "float32"],
    attributes: { axis: 1 },
  }) as [Value, Value];
  const silu = graph.node("Mul", [gate, graph.node("Sigmoid", [gate])]);
  return matrix(graph.node("Mul", [silu, up]), `l${layer}.down`, attended);
}

function lowRankInputs(graph: GraphBuilder, config: ModelConfig, lora: LoraSettings) {
  const adapted = new Map(adaptedPacks(config, lora).map((one) => [one.pack, one]));
  return (pack: string): Adapter | undefined => {
    const one = adapted.get(pack);
    if (!one) return undefined;
    const [a, b] = [graph.input(one.a.pack, 2), graph.input(one.b.pack, 2)];
    return { a, b, blocks: one.blocks, rank: lora.rank, scale: loraScale(lora), isMerged: false };
  };
}

interface SharedInputs {
  readonly lengths: Value;
  readonly longest: Value;
  readonly cos: Value;
  readonly sin: Value;
  /** int64 [2] = [B, S]. */
  readonly shape: Value;
}

/**
 * GroupQueryAttention applies the rotary embedding itself, unless heads are normalised first or headDim is not a
 * multiple of 16.
 */
function rotatesInAttention({ qkNorm, headDim }: ModelConfig): boolean {
  return !qkNorm && headDim % 16 === 0;
}

/** [B·S, columns] → [B, S, columns]. */
function bySequence(graph: GraphBuilder, x: Value, shape: Value): Value {
  const rows = graph.node("Concat", [shape, graph.constant([-1], [1], "int64")], { axis: 0 });
  return graph.node("Reshape", [x, rows]);
}

interface RotaryInputs extends SharedInputs {
  readonly qkv: Value;
  readonly layer: number;
  readonly positions: Value;
  readonly norm: (x: Value, pack: string) => Value;
}

/**
 * Queries and keys (normalised if the family does so) with the rotary embedding applied, and values: [B, S, ·] each.
 */
function rotatedHeads(
  graph: GraphBuilder,
  { heads, kvHeads, headDim, qkNorm }: ModelConfig,
  { qkv, layer, norm, positions, cos, sin, shape }: RotaryInputs,
): { queries: Value; keys: Value; values: Value } {
  const int64s = (...values: number[]) => graph.constant(values, [values.length], "int64");
  const [q, k, v] = graph.nodes("Split", [qkv, int64s(heads * headDim, kvHeads * headDim, kvHeads * headDim)], {
    outputs: ["float32", "float32", "float32"],
    attributes: { axis: 1 },
  }) as [Value, Value, Value];
  const rotated = (x: Value, columns: number, pack: string) => {
    const apart = (y: Value) => norm(graph.node("Reshape", [y, int64s(-1, headDim)]), pack);
    const rows = qkNorm ? graph.node("Reshape", [apart(x), int64s(-1, columns)]) : x;
    return graph.node(
      "RotaryEmbedding",
      [bySequence(graph, rows, shape), positions, cos, sin],
      {},
      { domain: "com.microsoft" },
    );
  };
  return {
    queries: rotated(q, heads * headDim, `l${layer}.q_norm`),
    keys: rotated(k, kvHeads * headDim, `l${layer}.k_norm`),
    values: bySequence(graph, v, shape),
  };
}

/** The positions of this run's tokens: int64 [B, S], ending at `lengths`. */
function positionsOf(graph: GraphBuilder, { lengths, shape }: SharedInputs): Value {
  const scalar = (value: number) => graph.constant([value], [], "int64");
  const int64 = { type: "int64" } as const;
  const count = graph.node("Gather", [shape, scalar(1)], { axis: 0 }, int64);
  const last = graph.node(
    "Unsqueeze",
    [graph.node("Cast", [lengths], { to: INT64 }, int64), graph.constant([1], [1], "int64")],
    {},
    int64,
  );
  const back = graph.node("Range", [graph.node("Sub", [scalar(1), count], {}, int64), scalar(1), scalar(1)], {}, int64);
  return graph.node("Add", [last, back], {}, int64);
}

/** From ONNX's TensorProto. */
const INT64 = 7;

/**
 * Either packed, and attention applies the rotary embedding, or three values that have it already: [B·S, ·] or [B, S,
 * ·].
 */
type HeadInputs =
  | { readonly packed: Value; readonly queries?: never }
  | { readonly packed?: never; readonly queries: Value; readonly keys: Value; readonly values: Value };

function cachedAttention(
  graph: GraphBuilder,
  config: ModelConfig,
  { layer, lengths, longest, cos, sin, shape, ...inputs }: SharedInputs & HeadInputs & { readonly layer: number },
): Value {
  const { heads, kvHeads, headDim } = config;
  const qkv = inputs.packed
    ? [bySequence(graph, inputs.packed, shape), null, null]
    : [inputs.queries, inputs.keys, inputs.values];
  const [y, key, value] = graph.nodes(
    "GroupQueryAttention",
    [
      ...qkv,
      graph.input(decodeNames.key(layer), 4),
      graph.input(decodeNames.value(layer), 4),
      lengths,
      longest,
      ...(inputs.packed ? [cos, sin] : []),
    ],
    {
      outputs: ["float32", "float32", "float32"],
      attributes: {
        num_heads: heads,
        kv_num_heads: kvHeads,
        do_rotary: inputs.packed ? 1 : 0,
        rotary_interleaved: 0,
        scale: { float: 1 / Math.sqrt(headDim) },
      },
      domain: "com.microsoft",
    },
  ) as [Value, Value, Value];
  graph.output(key, decodeNames.newKey(layer), 4);
  graph.output(value, decodeNames.newValue(layer), 4);
  return graph.node("Reshape", [y, graph.constant([-1, heads * headDim], [2], "int64")]);
}
