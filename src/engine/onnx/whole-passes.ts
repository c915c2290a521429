/** @file Passes over all layers in one graph: the fastest way, with every activation kept until the backward pass. */
import { createSession, type Session, type Tensor } from "../../runtime/onnx.ts";
import type { LossForm } from "./graph/losses.ts";
import { promptGraph, trainGraph } from "./models/train-graph.ts";
import { trainNames } from "./models/train-names.ts";
import {
  type MicroBatch,
  type Passes,
  type PassesOptions,
  type Prompt,
  promptLayers,
  promptTensors,
  Sessions,
  scatterEmbedding,
  weightTensors,
} from "./passes.ts";

export class WholePasses implements Passes {
  readonly #options: PassesOptions;
  readonly #sessions: Sessions;

  constructor(options: PassesOptions) {
    this.#options = options;
    this.#sessions = new Sessions((graph) => createSession(graph, { threads: options.threads }));
  }

  async logprobs({ ids, inputs }: MicroBatch, logprob: Tensor): Promise<void> {
    const { config, lora } = this.#options;
    const session = await this.#sessions.get("logprobs", () => trainGraph(config, "logprobs", { lora }));
    const { inputs: weights } = weightTensors(session, this.#options);
    await session.run({ ...weights, ...inputs, ...idsInput(ids) }, { [trainNames.logprob]: logprob });
  }

  async learn(micro: MicroBatch, { form, logprob }: { form: LossForm; logprob: Tensor }, prompt?: Prompt) {
    const { config, lora } = this.#options;
    const name = prompt ? `${form}, follows` : form;
    const session = await this.#sessions.get(name, () =>
      trainGraph(config, form, { lora, follows: prompt !== undefined }),
    );
    const inputs: Record<string, Tensor> = {};
    const outputs: Record<string, Tensor> = { [trainNames.logprob]: logprob };
    for (const [i, layer] of (prompt?.layers ?? []).entries()) {
      Object.assign(inputs, promptTensors.own(i, layer), promptTensors.gradient(i, layer));
      Object.assign(outputs, promptTensors.newGradient(i, layer));
    }
    await this.#runBack(session, micro, { inputs, outputs });
  }

  async openPrompt(micro: MicroBatch): Promise<Prompt> {
    const { config, lora } = this.#options;
    const session = await this.#sessions.get("prompt", () => promptGraph(config, "forward", lora));
    const layers = promptLayers(config, micro.ids.length);
    const outputs: Record<string, Tensor> = {};
    for (const [i, layer] of layers.entries()) Object.assign(outputs, promptTensors.own(i, layer));
    const { inputs: weights } = weightTensors(session, this.#options);
    await session.run({ ...weights, ...micro.inputs, ...idsInput(micro.ids) }, outputs);
    return { micro, layers };
  }

  async returnPrompt({ micro, layers }: Prompt): Promise<void> {
    const { config, lora } = this.#options;
    const session = await this.#sessions.get("prompt, back", () => promptGraph(config, "backward", lora));
    const inputs: Record<string, Tensor> = {};
    for (const [i, layer] of layers.entries()) Object.assign(inputs, promptTensors.gradient(i, layer));
    await this.#runBack(session, micro, { inputs, outputs: {} });
  }

  close(): Promise<void> {
    return this.#sessions.close();
  }

  /** A graph that backpropagates to the embedded tokens, unless they are frozen. */
  async #runBack(
    session: Session,
    { ids, inputs }: MicroBatch,
    more: { readonly inputs: Record<string, Tensor>; readonly outputs: Record<string, Tensor> },
  ): Promise<void> {
    const { config, lora } = this.#options;
    const weights = weightTensors(session, this.#options);
    const shape = [ids.length, config.width];
    const embedded = lora ? undefined : new Float32Array(ids.length * config.width);
    await session.run(
      { ...weights.inputs, ...inputs, ...idsInput(ids), ...more.inputs },
      { ...weights.outputs, ...more.outputs, ...(embedded && { [trainNames.embedded]: { data: embedded, shape } }) },
    );
    if (embedded) scatterEmbedding(ids, embedded, this.#options);
  }
}

const idsInput = (ids: Int32Array) => ({ [trainNames.ids]: { data: ids, shape: [ids.length] } });
