/** @file The training graphs of every family as a whole: forward, loss and every gradient, in ONNX models of a few kB. */
import { GraphBuilder, type Value } from "../../../runtime/graph-builder.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import type { LoraConfig } from "../../lora.ts";
import type { KeysValues } from "../graph/attention.ts";
import { hasDualClip, klOf, type LossForm, type LossInputs, lossSlope } from "../graph/losses.ts";
import { GradientTape } from "../graph/tape.ts";
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
  /** An adapter learns, and the weights of the model are frozen. */
  readonly lora?: LoraConfig | undefined;
  /** The sequences come behind a prompt, whose keys and values are given and get a gradient. */
  readonly follows?: boolean;
}

export function trainGraph(
  config: ModelConfig,
  kind: TrainGraphKind,
  { lora, follows = false }: TrainGraphOptions = {},
): Uint8Array {
  const graph = new GraphBuilder();
  const tape = new GradientTape(graph);
  const isLearnt = kind !== "logprobs";
  const parameters = new Parameters(tape, { config, lora, areLearnt: isLearnt });
  const past = follows ? perLayer(config, (layer) => promptInput(tape, layer, { isLearnt })) : [];
  const { embedded, hidden } = decoder(tape, { config, parameters, past });
  const logprob = scoredLogprobs(tape, hidden, { config, parameters, isLearnt });
  if (isLearnt) {
    seedLoss(tape, kind, logprob);
    tape.backward();
    parameters.outputGradients();
    if (!lora) graph.output(tape.gradient(embedded)!, trainNames.embedded, 2);
    for (const [layer, one] of past.entries()) outputPromptGradient(tape, layer, one);
  }
  graph.output(logprob, trainNames.logprob, 2);
  return graph.bytes();
}

/**
 * A prompt by itself, nothing of which is scored. "forward" gives its keys and values; "backward" is given their
 * gradients and gives those of the weights.
 */
export function promptGraph(config: ModelConfig, kind: "forward" | "backward", lora?: LoraConfig): Uint8Array {
  const graph = new GraphBuilder();
  const tape = new GradientTape(graph);
  const parameters = new Parameters(tape, { config, lora, areLearnt: kind === "backward" });
  const { embedded, own } = decoder(tape, { config, parameters, past: [], isPrompt: true });
  for (const [layer, { keys, values }] of own.entries()) {
    if (kind === "forward") outputPrompt(graph, layer, { keys, values });
    else seedPrompt(tape, layer, { keys, values });
  }
  if (kind === "backward") {
    tape.backward();
    parameters.outputGradients();
    if (!lora) graph.output(tape.gradient(embedded)!, trainNames.embedded, 2);
  }
  return graph.bytes();
}

interface DecoderOptions {
  readonly config: ModelConfig;
  readonly parameters: Parameters;
  /** By layer; none where nothing comes before. */
  readonly past: readonly KeysValues[];
  /** Of a prompt, only keys and values are wanted: its last layer ends with them. */
  readonly isPrompt?: boolean;
}

function decoder(tape: GradientTape, { config, parameters, past, isPrompt = false }: DecoderOptions) {
  const { graph } = tape;
  const embedding = config.tied && !isPrompt ? parameters.get("embedding", 2) : graph.input("embedding", 2);
  const embedded = graph.node("Gather", [embedding, graph.input(trainNames.ids, 1, "int32")], { axis: 0 });
  if (parameters.areFrozen) tape.freeze(embedded);
  const shared = attentionInputs(tape, config, past.length > 0);
  const own: KeysValues[] = [];
  let hidden = embedded;
  for (let layer = 0; layer < config.layers; layer++) {
    const options = { config, parameters, layer, shared, past: past[layer] };
    if (isPrompt && layer === config.layers - 1) {
      own.push(layerHeads(tape, hidden, options));
    } else {
      const { y, ...made } = decoderLayer(tape, hidden, options);
      hidden = y;
      own.push(made);
    }
  }
  return { embedded, hidden, own };
}

function perLayer<T>({ layers }: ModelConfig, of: (layer: number) => T): T[] {
  return Array.from({ length: layers }, (_, layer) => of(layer));
}

/** Starts the way back at the loss. */
export function seedLoss(tape: GradientTape, kind: LossForm, logprob: Value): void {
  tape.seed(logprob, lossSlope(tape.graph, kind, logprob, lossInputs(tape.graph, kind)));
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
