/** @file The sampling graphs of the Llama family: keys and values live in caches that the graph reads and writes in place. */

import { GraphBuilder, type Value } from "../../../runtime/graph-builder.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";

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
 * "decode" feeds one token to each of B ≥ 2 sequences and gives the distribution of the next. "append" puts S ≥ 2
 * tokens of one sequence into its cache and gives nothing else: GroupQueryAttention takes no batches here.
 */
export function llamaDecodeGraph(config: ModelConfig, kind: "decode" | "append"): Uint8Array {
  const graph = new GraphBuilder();
  const { width } = config;
  const reshape = (x: Value, dims: number[]) =>
    graph.node("Reshape", [x, graph.constant(dims, [dims.length], "int64")]);
  const matrix = (x: Value, pack: string, residual?: Value) =>
    graph.node("Gemm", [x, graph.input(pack, 2), ...(residual ? [residual] : [])], { transB: 1 });
  const norm = (x: Value, pack: string) =>
    graph.node("SimplifiedLayerNormalization", [x, graph.input(pack, 1)], {
      axis: -1,
      epsilon: { float: config.rmsEpsilon },
      stash_type: 1,
    });
  const ids = graph.input(decodeNames.ids, 2, "int32");
  const shared = {
    lengths: graph.input(decodeNames.lengths, 1, "int32"),
    longest: graph.input(decodeNames.longest, 1, "int32"),
    cos: graph.input(decodeNames.cos, 2),
    sin: graph.input(decodeNames.sin, 2),
    shape: graph.node("Shape", [ids], {}, { type: "int64" }),
  };
  const embedding = graph.input("embedding", 2);
  let x = reshape(graph.node("Gather", [embedding, ids], { axis: 0 }, { type: "float32" }), [-1, width]);
  for (let layer = 0; layer < config.layers; layer++) {
    const qkv = matrix(norm(x, `l${layer}.norm1`), `l${layer}.qkv`);
    x = matrix(cachedAttention(graph, config, { qkv, layer, ...shared }), `l${layer}.o`, x);
    const gateUp = matrix(norm(x, `l${layer}.norm2`), `l${layer}.gate_up`);
    const sizes = graph.constant([config.ffnWidth, config.ffnWidth], [2], "int64");
    const [gate, up] = graph.nodes("Split", [gateUp, sizes], {
      outputs: ["float32", "float32"],
      attributes: { axis: 1 },
    }) as [Value, Value];
    const silu = graph.node("Mul", [gate, graph.node("Sigmoid", [gate])]);
    x = matrix(graph.node("Mul", [silu, up]), `l${layer}.down`, x);
  }
  if (kind === "decode") {
    const head = config.tied ? embedding : graph.input("head", 2);
    const logits = graph.node("Gemm", [norm(x, "norm"), head], { transB: 1 });
    const tempered = graph.node("Mul", [logits, graph.input(decodeNames.inverseTemperature, 2)]);
    graph.output(graph.node("LogSoftmax", [logits], { axis: -1 }), decodeNames.logprobs, 2);
    graph.output(graph.node("Softmax", [tempered], { axis: -1 }), decodeNames.probabilities, 2);
  }
  return graph.bytes();
}

interface CachedAttention {
  readonly qkv: Value;
  readonly layer: number;
  readonly lengths: Value;
  readonly longest: Value;
  readonly cos: Value;
  readonly sin: Value;
  /** int64 [2] = [B, S]. */
  readonly shape: Value;
}

function cachedAttention(
  graph: GraphBuilder,
  config: ModelConfig,
  { qkv, layer, lengths, longest, cos, sin, shape }: CachedAttention,
): Value {
  const { heads, kvHeads, headDim } = config;
  const rows = graph.node("Concat", [shape, graph.constant([-1], [1], "int64")], { axis: 0 });
  const packed = graph.node("Reshape", [qkv, rows]);
  const [y, key, value] = graph.nodes(
    "GroupQueryAttention",
    [
      packed,
      null,
      null,
      graph.input(decodeNames.key(layer), 4),
      graph.input(decodeNames.value(layer), 4),
      lengths,
      longest,
      cos,
      sin,
    ],
    {
      outputs: ["float32", "float32", "float32"],
      attributes: {
        num_heads: heads,
        kv_num_heads: kvHeads,
        do_rotary: 1,
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
