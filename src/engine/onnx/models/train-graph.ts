/**
 * @file The training graphs over all layers of every family: forward pass, loss and gradients, in ONNX models of a few
 * kB.
 */
import { GraphBuilder, type Value } from "../../../runtime/graph-builder.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import type { LoraSettings } from "../../lora.ts";
import type { KeysValues } from "../graph/attention.ts";
import { hasDualClip, klOf, type LossForm, type LossInputs, lossDerivative } from "../graph/losses.ts";
import { GraphTrace } from "../graph/trace.ts";
import {
  attentionInputs,
  decoderLayer,
  layerHeads,
  outputPrompt,
  outputPromptGradient,
  Parameters,
  promptInput,
  scoredLogprobs,
  seedPrompt,
} from "./decoder-layer.ts";
import { type TrainGraphKind, trainNames } from "./train-names.ts";

export interface TrainGraphOptions {
  /** If given, only the adapter is trained and the weights are frozen. */
  readonly lora?: LoraSettings | undefined;
  /** True: the sequences follow a shared prompt, whose keys and values are inputs and receive a gradient. */
  readonly follows?: boolean;
}

export function trainGraph(
  config: ModelConfig,
  kind: TrainGraphKind,
  { lora, follows = false }: TrainGraphOptions = {},
): Uint8Array {
  const graph = new GraphBuilder();
  const trace = new GraphTrace(graph);
  const isLearnt = kind !== "logprobs";
  const parameters = new Parameters(trace, { config, lora, areLearnt: isLearnt });
  const past = follows ? perLayer(config, (layer) => promptInput(trace, layer, { isLearnt })) : [];
  const { embedded, hidden } = decoder(trace, { config, parameters, past });
  const logprob = scoredLogprobs(trace, hidden, { config, parameters, isLearnt });
  if (isLearnt) {
    seedLoss(trace, kind, logprob);
    trace.backward();
    parameters.outputGradients();
    if (!lora) graph.output(trace.gradient(embedded)!, trainNames.embedded, 2);
    for (const [layer, one] of past.entries()) outputPromptGradient(trace, layer, one);
  }
  graph.output(logprob, trainNames.logprob, 2);
  return graph.bytes();
}

/**
 * A shared prompt by itself; no token of it is scored. "forward" outputs its keys and values; "backward" takes their
 * gradients as inputs and outputs the gradients of the weights.
 */
export function promptGraph(config: ModelConfig, kind: "forward" | "backward", lora?: LoraSettings): Uint8Array {
  const graph = new GraphBuilder();
  const trace = new GraphTrace(graph);
  const parameters = new Parameters(trace, { config, lora, areLearnt: kind === "backward" });
  const { embedded, own } = decoder(trace, { config, parameters, past: [], isPrompt: true });
  for (const [layer, { keys, values }] of own.entries()) {
    if (kind === "forward") outputPrompt(graph, layer, { keys, values });
    else seedPrompt(trace, layer, { keys, values });
  }
  if (kind === "backward") {
    trace.backward();
    parameters.outputGradients();
    if (!lora) graph.output(trace.gradient(embedded)!, trainNames.embedded, 2);
  }
  return graph.bytes();
}

interface DecoderOptions {
  readonly config: ModelConfig;
  readonly parameters: Parameters;
  /** Keys and values of the shared prompt by layer; empty if there is no prompt. */
  readonly past: readonly KeysValues[];
  /** For a shared prompt only keys and values are needed, so its last layer stops there. */
  readonly isPrompt?: boolean;
}

function decoder(trace: GraphTrace, { config, parameters, past, isPrompt = false }: DecoderOptions) {
  const { graph } = trace;
  const embedding = config.tied && !isPrompt ? parameters.get("embedding", 2) : graph.input("embedding", 2);
  const embedded = graph.node("Gather", [embedding, graph.input(trainNames.ids, 1, "int32")], { axis: 0 });
  if (parameters.areFrozen) trace.freeze(embedded);
  const shared = attentionInputs(trace, config, past.length > 0);
  const own: KeysValues[] = [];
  let hidden = embedded;
  for (let layer = 0; layer < config.layers; layer++) {
    const options = { config, parameters, layer, shared, past: past[layer] };
    if (isPrompt && layer === config.layers - 1) {
      own.push(layerHeads(trace, hidden, options));
    } else {
      const { y, ...made } = decoderLayer(trace, hidden, options);
      hidden = y;
      own.push(made);
    }
  }
  return { embedded, hidden, own };
}

function perLayer<T>({ layers }: ModelConfig, of: (layer: number) => T): T[] {
  return Array.from({ length: layers }, (_, layer) => of(layer));
}

/** Starts the backward pass at the loss. */
export function seedLoss(trace: GraphTrace, kind: LossForm, logprob: Value): void {
  trace.seed(logprob, lossDerivative(trace.graph, kind, logprob, lossInputs(trace.graph, kind)));
}

function lossInputs(graph: GraphBuilder, form: LossForm): LossInputs {
  const weight = graph.input(trainNames.lossWeight, 2);
  if (form === "cross-entropy") {
    const unused = graph.scalar(0);
    return { weight, advantage: unused, oldLogprob: unused, ratioFloor: unused, ratioCeiling: unused };
  }
  return {
    weight,
    advantage: graph.input(trainNames.advantage, 2),
    oldLogprob: graph.input(trainNames.oldLogprob, 2),
    ratioFloor: graph.input(trainNames.ratioFloor, 1),
    ratioCeiling: graph.input(trainNames.ratioCeiling, 1),
    ...(hasDualClip(form) ? { dualClip: graph.input(trainNames.dualClip, 1) } : {}),
    ...(klOf(form)
      ? {
          kl: {
            coefficient: graph.input(trainNames.klCoefficient, 1),
            referenceLogprob: graph.input(trainNames.referenceLogprob, 2),
          },
        }
      : {}),
  };
}
