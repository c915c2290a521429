/**
 * @file Passes with activation checkpointing: only the input of each layer is kept, and the backward pass recomputes the
 * rest. This takes a third more work, and the memory of one layer instead of all.
 */
import { createSession, type Session, type Tensor } from "../../runtime/onnx.ts";
import type { LossForm } from "./graph/losses.ts";
import { headGraph, type LayerRole, layerGraph } from "./models/layer-graphs.ts";
import { type TrainGraphKind, trainNames } from "./models/train-names.ts";
import {
  type MicroBatch,
  type Passes,
  type PassesOptions,
  type Prompt,
  type PromptLayer,
  promptLayers,
  promptTensors,
  Sessions,
  scatterEmbedding,
  weightTensors,
} from "./passes.ts";

/** A prompt with the input of each of its layers. */
interface KeptPrompt extends Prompt {
  readonly kept: readonly Float32Array[];
}

export class LayeredPasses implements Passes {
  readonly #options: PassesOptions;
  readonly #sessions: Sessions;
  /** The input of each layer for the current micro-batch, and two gradients. The buffers grow and are reused. */
  readonly #buffers: Float32Array[] = [];

  constructor(options: PassesOptions) {
    this.#options = options;
    this.#sessions = new Sessions((graph) => createSession(graph, { threads: options.threads }));
  }

  async logprobs(micro: MicroBatch, logprob: Tensor): Promise<void> {
    const { layers } = this.#options.config;
    // two buffers, used alternately: no graph reads the one it writes
    const given = Array.from({ length: layers + 1 }, (_, i) => this.#buffer(i % 2, micro));
    await this.#forward(micro, given, "whole", []);
    await this.#head(micro, "logprobs", { x: given[layers]!, logprob });
  }

  async learn(micro: MicroBatch, { form, logprob }: { form: LossForm; logprob: Tensor }, prompt?: Prompt) {
    const { layers } = this.#options.config;
    const role = prompt ? "follows" : "whole";
    const given = Array.from({ length: layers + 1 }, (_, i) => this.#buffer(i, micro));
    await this.#forward(micro, given, role, prompt?.layers ?? []);
    const gradient = this.#buffer(layers + 1, micro);
    await this.#head(micro, form, { x: given[layers]!, logprob, gradient });
    await this.#back(micro, { given, gradient }, role, prompt?.layers ?? []);
  }

  async openPrompt(micro: MicroBatch): Promise<KeptPrompt> {
    const { config } = this.#options;
    const size = micro.ids.length * config.width;
    const kept = Array.from({ length: config.layers + 1 }, () => new Float32Array(size));
    const layers = promptLayers(config, micro.ids.length);
    await this.#forward(micro, kept, "prompt", layers);
    return { micro, layers, kept };
  }

  async returnPrompt(prompt: Prompt): Promise<void> {
    const { micro, layers, kept } = prompt as KeptPrompt;
    const gradient = this.#buffer(layers.length + 1, micro).fill(0); // no token of a prompt is scored
    await this.#back(micro, { given: kept, gradient }, "prompt", layers);
  }

  close(): Promise<void> {
    return this.#sessions.close();
  }

  /** Fills `given` with the input of each layer and the output of the last one. */
  async #forward(
    { ids, inputs }: MicroBatch,
    given: readonly Float32Array[],
    role: LayerRole,
    prompt: readonly PromptLayer[],
  ): Promise<void> {
    const { config, lora } = this.#options;
    this.#embed(ids, given[0]!);
    const session = await this.#sessions.get(`layer, ${role}`, () => layerGraph(config, "forward", { role, lora }));
    for (let layer = 0; layer < config.layers; layer++) {
      const outputs: Record<string, Tensor> = { [trainNames.layerOutput]: this.#rows(given[layer + 1]!) };
      const keysValues = role === "whole" ? {} : promptTensors.own(0, prompt[layer]!);
      if (role === "prompt") Object.assign(outputs, keysValues);
      const { inputs: weights } = this.#weights(session, layer);
      const known = role === "follows" ? keysValues : {};
      await session.run(
        { ...weights, ...inputsOf(session, inputs), ...known, [trainNames.layerInput]: this.#rows(given[layer]!) },
        outputs,
      );
    }
  }

  /** Backpropagates from the gradient of the last layer's output to that of the embedded tokens. */
  async #back(
    { ids, inputs }: MicroBatch,
    { given, gradient }: { readonly given: readonly Float32Array[]; readonly gradient: Float32Array },
    role: LayerRole,
    prompt: readonly PromptLayer[],
  ): Promise<void> {
    const { config, lora } = this.#options;
    const session = await this.#sessions.get(`layer, ${role}, back`, () =>
      layerGraph(config, "backward", { role, lora }),
    );
    let [dy, dx] = [gradient, this.#buffer(config.layers + 2, { ids })];
    for (let layer = config.layers - 1; layer >= 0; layer--) {
      const weights = this.#weights(session, layer);
      const more: Record<string, Tensor> = {};
      const moreOutputs: Record<string, Tensor> = {};
      if (role !== "whole") Object.assign(more, promptTensors.gradient(0, prompt[layer]!));
      if (role === "follows") {
        Object.assign(more, promptTensors.own(0, prompt[layer]!));
        Object.assign(moreOutputs, promptTensors.newGradient(0, prompt[layer]!));
      }
      await session.run(
        {
          ...weights.inputs,
          ...inputsOf(session, inputs),
          ...more,
          [trainNames.layerInput]: this.#rows(given[layer]!),
          [trainNames.layerOutputGradient]: this.#rows(dy),
        },
        { ...weights.outputs, ...moreOutputs, [trainNames.layerInputGradient]: this.#rows(dx) },
      );
      [dy, dx] = [dx, dy];
    }
    if (!lora) scatterEmbedding(ids, dy, this.#options);
  }

  async #head(
    { inputs }: MicroBatch,
    kind: TrainGraphKind,
    { x, logprob, gradient }: { x: Float32Array; logprob: Tensor; gradient?: Float32Array },
  ): Promise<void> {
    const { config, lora } = this.#options;
    const session = await this.#sessions.get(`head, ${kind}`, () => headGraph(config, kind, lora));
    const weights = weightTensors(session, this.#options);
    await session.run(
      { ...weights.inputs, ...inputsOf(session, inputs), [trainNames.layerInput]: this.#rows(x) },
      {
        ...weights.outputs,
        [trainNames.logprob]: logprob,
        ...(gradient ? { [trainNames.layerInputGradient]: this.#rows(gradient) } : {}),
      },
    );
  }

  /** The graph's only layer is layer 0. */
  #weights(session: Session, layer: number) {
    return weightTensors(session, this.#options, (name) => name.replace(/^l0\./, `l${layer}.`));
  }

  #embed(ids: Int32Array, into: Float32Array): void {
    const { width } = this.#options.config;
    const table = this.#options.weights.get("embedding")!.data as Float32Array;
    for (const [row, id] of ids.entries()) into.set(table.subarray(id * width, (id + 1) * width), row * width);
  }

  #rows(data: Float32Array): Tensor {
    const { width } = this.#options.config;
    return { data, shape: [data.length / width, width] };
  }

  #buffer(which: number, { ids }: Pick<MicroBatch, "ids">): Float32Array {
    const size = ids.length * this.#options.config.width;
    if ((this.#buffers[which]?.length ?? 0) < size) this.#buffers[which] = new Float32Array(size);
    return this.#buffers[which]!.subarray(0, size);
  }
}

/** The inputs of this graph: layers need nothing of the loss, and the head needs no positions. */
function inputsOf({ inputNames }: Session, inputs: MicroBatch["inputs"]): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => inputNames.includes(name)));
}
