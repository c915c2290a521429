/** @file One layer of a decoder and the loss behind the last, as the training graphs of every family put them together. */
import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";
import { type AdaptedPack, adaptedPacks } from "../../huggingface/adapter-packs.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import { type LoraConfig, loraScale } from "../../lora.ts";
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
import type { GradientTape } from "../graph/tape.ts";
import { trainNames } from "./train-names.ts";

export interface ParametersOptions {
  readonly config: ModelConfig;
  readonly areLearnt: boolean;
  /** What is learnt is the adapter beside the weights. */
  readonly lora?: LoraConfig | undefined;
}

/** The weights of a graph as inputs; of what is learnt, the gradients so far as inputs and with this run's as outputs. */
export class Parameters {
  readonly #tape: GradientTape;
  readonly #options: ParametersOptions;
  readonly #adapted: ReadonlyMap<string, AdaptedPack>;
  readonly #known = new Map<string, Weight>();
  readonly #learnt = new Map<string, { readonly value: Value; readonly rank: number }>();

  constructor(tape: GradientTape, options: ParametersOptions) {
    this.#tape = tape;
    this.#options = options;
    const { config, lora, areLearnt } = options;
    // what is merged is in the weights: only its gradients need A and B
    const isNeeded = lora && (areLearnt || !lora.merge);
    this.#adapted = new Map(isNeeded ? adaptedPacks(config, lora).map((one) => [one.pack, one]) : []);
  }

  /** Whether the weights of the model only pass gradients on. */
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

  /** After `backward`. */
  outputGradients(): void {
    for (const [pack, { value, rank }] of this.#learnt)
      this.#tape.graph.output(this.#tape.gradient(value)!, trainNames.newGradient(pack), rank);
  }

  #learner(pack: string, rank: number): Value {
    const { graph } = this.#tape;
    const value = graph.input(trainNames.weight(pack), rank);
    if (!this.#options.areLearnt) return value;
    this.#tape.seed(value, graph.input(trainNames.gradient(pack), rank));
    this.#learnt.set(pack, { value, rank });
    return value;
  }

  #frozen(pack: string, rank: number): Weight {
    const value = this.#tape.graph.input(trainNames.weight(pack), rank);
    this.#tape.freeze(value);
    const adapted = this.#adapted.get(pack);
    const { lora } = this.#options;
    if (!adapted || !lora) return value;
    const [a, b] = [this.#learner(adapted.a.pack, 2), this.#learner(adapted.b.pack, 2)];
    const { blocks } = adapted;
    const adapter = { a, b, blocks, rank: lora.rank, scale: loraScale(lora), isMerged: lora.merge };
    return { ...value, adapter };
  }
}

/** @param follows true: the sequences come behind a prompt whose keys and values are given */
export function attentionInputs(tape: GradientTape, config: ModelConfig, follows: boolean): SharedAttention {
  const { graph } = tape;
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
  /** Which layer's weights. */
  readonly layer: number;
  readonly shared: SharedAttention;
  readonly past?: KeysValues | undefined;
}

/** x[N, width] → what the next layer gets, and this one's own keys and values. */
export function decoderLayer(tape: GradientTape, x: Value, options: LayerOptions): KeysValues & { readonly y: Value } {
  const { config, parameters, layer, shared, past } = options;
  const parameter = (pack: string, rank: number) => parameters.get(`l${layer}.${pack}`, rank);
  const heads = layerHeads(tape, x, options);
  const attended = linear(tape, attend(tape, heads, shared, past), parameter("o", 2), x);
  const normal = rmsNorm(tape, attended, parameter("norm2", 1), config.rmsEpsilon);
  const gateUp = linear(tape, normal, parameter("gate_up", 2));
  const y = linear(tape, swiglu(tape, gateUp, config.ffnWidth), parameter("down", 2), attended);
  return { y, keys: heads.keys, values: heads.values };
}

/** A layer up to its queries, keys and values. */
export function layerHeads(tape: GradientTape, x: Value, { config, parameters, layer, shared }: LayerOptions): Heads {
  const parameter = (pack: string, rank: number) => parameters.get(`l${layer}.${pack}`, rank);
  const normal = rmsNorm(tape, x, parameter("norm1", 1), config.rmsEpsilon);
  const weight = parameter("qkv", 2);
  const packed = config.qkvBias
    ? biasedLinear(tape, normal, weight, parameter("qkv_bias", 1))
    : linear(tape, normal, weight);
  const qkv = config.qkNorm
    ? normaliseHeads(tape, packed, { q: parameter("q_norm", 1), k: parameter("k_norm", 1) }, config)
    : packed;
  return splitHeads(tape, qkv, shared);
}

/** The log-probability of each target behind the rows that are scored: [R, 1]. */
export function scoredLogprobs(
  tape: GradientTape,
  hidden: Value,
  { config, parameters, isLearnt }: Pick<LayerOptions, "config" | "parameters"> & { readonly isLearnt: boolean },
): Value {
  const { graph } = tape;
  const taken = takeRows(tape, hidden, {
    rows: graph.input(trainNames.rows, 1, "int32"),
    inverse: isLearnt ? graph.input(trainNames.inverse, 1, "int32") : graph.constant([0], [1], "int32"),
    width: config.width,
  });
  const final = rmsNorm(tape, taken, parameters.get("norm", 1), config.rmsEpsilon);
  const head = parameters.get(config.tied ? "embedding" : "head", 2);
  const target = graph.input(trainNames.target, 2, "int32");
  return targetLogprobs(tape, final, head, { target, vocabSize: config.vocabSize });
}

/** A prompt's keys and values of one layer as inputs; where something is learnt, with their gradient so far. */
export function promptInput(
  tape: GradientTape,
  layer: number,
  { isLearnt }: { readonly isLearnt: boolean },
): KeysValues {
  const { graph } = tape;
  const prompt = { keys: graph.input(trainNames.keys(layer), 4), values: graph.input(trainNames.values(layer), 4) };
  if (isLearnt) seedPrompt(tape, layer, prompt);
  return prompt;
}

/** The gradient that came back to a prompt's keys and values, or what of it there is until now. */
export function seedPrompt(tape: GradientTape, layer: number, { keys, values }: KeysValues): void {
  tape.seed(keys, tape.graph.input(trainNames.keysGradient(layer), 4));
  tape.seed(values, tape.graph.input(trainNames.valuesGradient(layer), 4));
}

export function outputPrompt(graph: GraphBuilder, layer: number, { keys, values }: KeysValues): void {
  graph.output(keys, trainNames.keys(layer), 4);
  graph.output(values, trainNames.values(layer), 4);
}

/** After `backward`. */
export function outputPromptGradient(tape: GradientTape, layer: number, { keys, values }: KeysValues): void {
  tape.graph.output(tape.gradient(keys)!, trainNames.newKeysGradient(layer), 4);
  tape.graph.output(tape.gradient(values)!, trainNames.newValuesGradient(layer), 4);
}
