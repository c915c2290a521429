/**
 * @file One decoder layer, and the head with the loss after the last layer. The training graphs of every family use
 * them.
 */
import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";
import { type AdaptedPack, adaptedPacks } from "../../huggingface/adapter-packs.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import { type LoraSettings, loraScale } from "../../lora.ts";
import {
  attend,
  type Heads,
  type KeysValues,
  type SharedAttention,
  shareAttention,
  splitHeads,
} from "../graph/attention.ts";
import { biasedLinear, linear, rmsNorm, swiglu, takeRows, targetLogprobs } from "../graph/composites.ts";
import { normaliseHeads } from "../graph/head-norms.ts";
import type { Weight } from "../graph/low-rank.ts";
import type { GraphTrace } from "../graph/trace.ts";
import { trainNames } from "./train-names.ts";

export interface ParametersOptions {
  readonly config: ModelConfig;
  readonly areLearnt: boolean;
  /** If given, only the adapter is trained and the weights are frozen. */
  readonly lora?: LoraSettings | undefined;
}

/**
 * The weights of a graph as inputs. Each trained weight also has its accumulated gradient as an input and the new sum
 * as an output.
 */
export class Parameters {
  readonly #trace: GraphTrace;
  readonly #options: ParametersOptions;
  readonly #adapted: ReadonlyMap<string, AdaptedPack>;
  readonly #known = new Map<string, Weight>();
  readonly #learnt = new Map<string, { readonly value: Value; readonly rank: number }>();

  constructor(trace: GraphTrace, options: ParametersOptions) {
    this.#trace = trace;
    this.#options = options;
    const { config, lora, areLearnt } = options;
    // a merged adapter is part of the weights: A and B are needed only for their gradients
    const isNeeded = lora && (areLearnt || !lora.merge);
    this.#adapted = new Map(isNeeded ? adaptedPacks(config, lora).map((one) => [one.pack, one]) : []);
  }

  /** Whether the model's own weights are frozen, so that gradients pass through them but not to them. */
  get areFrozen(): boolean {
    return this.#options.lora !== undefined;
  }

  get(pack: string, rank: number): Weight {
    const known = this.#known.get(pack);
    if (known) return known;
    const weight = this.areFrozen ? this.#frozen(pack, rank) : this.#learner(pack, rank);
    this.#known.set(pack, weight);
    return weight;
  }

  /** Call after `backward`. */
  outputGradients(): void {
    for (const [pack, { value, rank }] of this.#learnt)
      this.#trace.graph.output(this.#trace.gradient(value)!, trainNames.newGradient(pack), rank);
  }

  #learner(pack: string, rank: number): Value {
    const { graph } = this.#trace;
    const value = graph.input(trainNames.weight(pack), rank);
    if (!this.#options.areLearnt) return value;
    this.#trace.seed(value, graph.input(trainNames.gradient(pack), rank));
    this.#learnt.set(pack, { value, rank });
    return value;
  }

  #frozen(pack: string, rank: number): Weight {
    const value = this.#trace.graph.input(trainNames.weight(pack), rank);
    this.#trace.freeze(value);
    const adapted = this.#adapted.get(pack);
    const { lora } = this.#options;
    if (!adapted || !lora) return value;
    const [a, b] = [this.#learner(adapted.a.pack, 2), this.#learner(adapted.b.pack, 2)];
    const { blocks } = adapted;
    const adapter = { a, b, blocks, rank: lora.rank, scale: loraScale(lora), isMerged: lora.merge };
    return { ...value, adapter };
  }
}

/** @param follows true: the sequences follow a shared prompt whose keys and values are inputs */
export function attentionInputs(trace: GraphTrace, config: ModelConfig, follows: boolean): SharedAttention {
  const { graph } = trace;
  const inputs = {
    shape: graph.input(trainNames.shape, 1, "int64"),
    edges: graph.input(trainNames.edges, 1, "int64"),
    ...(follows ? { past: graph.input(trainNames.past, 1, "int64") } : {}),
    mask: graph.input(trainNames.mask, 2),
    cos: graph.input(trainNames.cos, 2),
    sin: graph.input(trainNames.sin, 2),
    negativeSin: graph.input(trainNames.negativeSin, 2),
  };
  return shareAttention(graph, inputs, config);
}

export interface LayerOptions {
  readonly config: ModelConfig;
  readonly parameters: Parameters;
  /** The layer whose weights are used. */
  readonly layer: number;
  readonly shared: SharedAttention;
  readonly past?: KeysValues | undefined;
}

/** x[N, width] → the input of the next layer, and this layer's own keys and values. */
export function decoderLayer(trace: GraphTrace, x: Value, options: LayerOptions): KeysValues & { readonly y: Value } {
  const { config, parameters, layer, shared, past } = options;
  const parameter = (pack: string, rank: number) => parameters.get(`l${layer}.${pack}`, rank);
  const heads = layerHeads(trace, x, options);
  const attended = linear(trace, attend(trace, heads, shared, past), parameter("o", 2), x);
  const normal = rmsNorm(trace, attended, parameter("norm2", 1), config.rmsEpsilon);
  const gateUp = linear(trace, normal, parameter("gate_up", 2));
  const y = linear(trace, swiglu(trace, gateUp, config.ffnWidth), parameter("down", 2), attended);
  return { y, keys: heads.keys, values: heads.values };
}

/** The first part of a layer: its queries, keys and values. */
export function layerHeads(trace: GraphTrace, x: Value, { config, parameters, layer, shared }: LayerOptions): Heads {
  const parameter = (pack: string, rank: number) => parameters.get(`l${layer}.${pack}`, rank);
  const normal = rmsNorm(trace, x, parameter("norm1", 1), config.rmsEpsilon);
  const weight = parameter("qkv", 2);
  const packed = config.qkvBias
    ? biasedLinear(trace, normal, weight, parameter("qkv_bias", 1))
    : linear(trace, normal, weight);
  const qkv = config.qkNorm
    ? normaliseHeads(trace, packed, { q: parameter("q_norm", 1), k: parameter("k_norm", 1) }, config)
    : packed;
  return splitHeads(trace, qkv, shared);
}

/** The log-probability of the target of each scored row: [R, 1]. */
export function scoredLogprobs(
  trace: GraphTrace,
  hidden: Value,
  { config, parameters, isLearnt }: Pick<LayerOptions, "config" | "parameters"> & { readonly isLearnt: boolean },
): Value {
  const { graph } = trace;
  const taken = takeRows(trace, hidden, {
    rows: graph.input(trainNames.rows, 1, "int32"),
    inverse: isLearnt ? graph.input(trainNames.inverse, 1, "int32") : graph.constant([0], [1], "int32"),
    width: config.width,
  });
  const final = rmsNorm(trace, taken, parameters.get("norm", 1), config.rmsEpsilon);
  const head = parameters.get(config.tied ? "embedding" : "head", 2);
  const target = graph.input(trainNames.target, 2, "int32");
  return targetLogprobs(trace, final, head, { target, vocabSize: config.vocabSize });
}

/** The keys and values of a shared prompt in one layer, as inputs; in training also their gradient so far. */
export function promptInput(
  trace: GraphTrace,
  layer: number,
  { isLearnt }: { readonly isLearnt: boolean },
): KeysValues {
  const { graph } = trace;
  const prompt = { keys: graph.input(trainNames.keys(layer), 4), values: graph.input(trainNames.values(layer), 4) };
  if (isLearnt) seedPrompt(trace, layer, prompt);
  return prompt;
}

/** Takes the gradient of a shared prompt's keys and values, as accumulated so far, from inputs of the graph. */
export function seedPrompt(trace: GraphTrace, layer: number, { keys, values }: KeysValues): void {
  trace.seed(keys, trace.graph.input(trainNames.keysGradient(layer), 4));
  trace.seed(values, trace.graph.input(trainNames.valuesGradient(layer), 4));
}

export function outputPrompt(graph: GraphBuilder, layer: number, { keys, values }: KeysValues): void {
  graph.output(keys, trainNames.keys(layer), 4);
  graph.output(values, trainNames.values(layer), 4);
}

/** Call after `backward`. */
export function outputPromptGradient(trace: GraphTrace, layer: number, { keys, values }: KeysValues): void {
  trace.graph.output(trace.gradient(keys)!, trainNames.newKeysGradient(layer), 4);
  trace.graph.output(trace.gradient(values)!, trainNames.newValuesGradient(layer), 4);
}
