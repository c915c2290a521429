/** @file The interface of the training graphs: forward and backward passes over micro-batches and prompts. */
import type { Session, Tensor } from "../../runtime/onnx.ts";
import type { ModelConfig } from "../huggingface/model-config.ts";
import type { LoraSettings } from "../lora.ts";
import type { LossForm } from "./graph/losses.ts";
import { trainNames } from "./models/train-names.ts";

export interface PassesOptions {
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Gradients of trained packs; accumulated in place. */
  readonly gradients: ReadonlyMap<string, Tensor>;
  /** The adapter that is trained; absent if all weights are. */
  readonly lora?: LoraSettings | undefined;
  readonly threads: number;
}

/** Sequences padded to one length, or one prompt. */
export interface MicroBatch {
  /** [N] */
  readonly ids: Int32Array;
  /** Inputs that depend on shapes, on the scored positions and on the loss. */
  readonly inputs: Readonly<Record<string, Tensor>>;
}

/** A prompt whose forward pass is done, waiting for the gradients of the sequences that follow it. */
export interface Prompt {
  readonly micro: MicroBatch;
  /** By layer, [1, kvHeads, P, headDim] each. */
  readonly layers: readonly PromptLayer[];
}

export interface PromptLayer {
  readonly keys: Tensor;
  readonly values: Tensor;
  /** Summed over all that follows. */
  readonly keysGradient: Tensor;
  readonly valuesGradient: Tensor;
}

export interface Passes {
  /** @param logprob written: [R, 1] */
  logprobs(micro: MicroBatch, logprob: Tensor): Promise<void>;
  /** Adds gradients; also to the prompt's, if the sequences follow one. */
  learn(micro: MicroBatch, loss: { readonly form: LossForm; readonly logprob: Tensor }, prompt?: Prompt): Promise<void>;
  /** Forward pass over a prompt, of which no token is scored. */
  openPrompt(micro: MicroBatch): Promise<Prompt>;
  /** Backward pass over the prompt, after that of all sequences that follow it. */
  returnPrompt(prompt: Prompt): Promise<void>;
  close(): Promise<void>;
}

/** Sessions by name, each created at its first use. */
export class Sessions {
  readonly #made = new Map<string, Promise<Session>>();
  readonly #make: (graph: Uint8Array) => Promise<Session>;

  constructor(make: (graph: Uint8Array) => Promise<Session>) {
    this.#make = make;
  }

  get(name: string, graph: () => Uint8Array): Promise<Session> {
    let session = this.#made.get(name);
    if (!session) {
      session = this.#make(graph());
      this.#made.set(name, session);
    }
    return session;
  }

  async close(): Promise<void> {
    for (const session of this.#made.values()) await (await session).release();
    this.#made.clear();
  }
}

/** A prompt's buffers, all zero. */
export function promptLayers({ layers, kvHeads, headDim }: ModelConfig, length: number): PromptLayer[] {
  const shape = [1, kvHeads, length, headDim];
  const empty = (): Tensor => ({ data: new Float32Array(kvHeads * length * headDim), shape });
  return Array.from({ length: layers }, () => ({
    keys: empty(),
    values: empty(),
    keysGradient: empty(),
    valuesGradient: empty(),
  }));
}

/** Keys and values of one layer, as the graphs name them. @param named the layer's number in the graph */
export const promptTensors = {
  own: (named: number, { keys, values }: PromptLayer) => ({
    [trainNames.keys(named)]: keys,
    [trainNames.values(named)]: values,
  }),
  gradient: (named: number, { keysGradient, valuesGradient }: PromptLayer) => ({
    [trainNames.keysGradient(named)]: keysGradient,
    [trainNames.valuesGradient(named)]: valuesGradient,
  }),
  newGradient: (named: number, { keysGradient, valuesGradient }: PromptLayer) => ({
    [trainNames.newKeysGradient(named)]: keysGradient,
    [trainNames.newValuesGradient(named)]: valuesGradient,
  }),
};

/**
 * The weights that a graph names, and the gradients that it adds to in place.
 * @param packOf the pack behind a name in the graph
 */
export function weightTensors(
  session: Session,
  { weights, gradients }: Pick<PassesOptions, "weights" | "gradients">,
  packOf: (name: string) => string = (name) => name,
): { inputs: Record<string, Tensor>; outputs: Record<string, Tensor> } {
  const inputs: Record<string, Tensor> = {};
  const outputs: Record<string, Tensor> = {};
  const names = new Set(session.inputNames);
  for (const name of names) {
    const weight = weights.get(packOf(name));
    if (!weight) continue;
    inputs[name] = weight;
    if (!names.has(trainNames.gradient(name))) continue;
    const gradient = gradients.get(packOf(name))!;
    inputs[trainNames.gradient(name)] = gradient;
    outputs[trainNames.newGradient(name)] = gradient;
  }
  return { inputs, outputs };
}

/** Adds the gradient of looked-up rows [N, width] to those of the embedding. */
export function scatterEmbedding(
  ids: Int32Array,
  gradient: Float32Array,
  { config, gradients }: Pick<PassesOptions, "config" | "gradients">,
): void {
  const { width } = config;
  const into = gradients.get("embedding")!.data as Float32Array;
  for (let row = 0; row < ids.length; row++) {
    const to = ids[row]! * width;
    const from = row * width;
    for (let i = 0; i < width; i++) into[to + i]! += gradient[from + i]!;
  }
}
