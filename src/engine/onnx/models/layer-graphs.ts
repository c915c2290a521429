/**
 * @file The training graphs for activation checkpointing: one graph per layer and one for the head. The host keeps only
 * the input of each layer, and the backward graph of a layer recomputes its activations. Weights are inputs, so one
 * graph serves all layers; in its names every layer is layer 0.
 */
import { GraphBuilder } from "../../../runtime/graph-builder.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import type { LoraSettings } from "../../lora.ts";
import { GraphTrace } from "../graph/trace.ts";
import {
  attentionInputs,
  decoderLayer,
  outputPrompt,
  outputPromptGradient,
  Parameters,
  promptInput,
  scoredLogprobs,
  seedPrompt,
} from "./decoder-layer.ts";
import { seedLoss } from "./train-graph.ts";
import { type TrainGraphKind, trainNames } from "./train-names.ts";

/**
 * The kind of sequence a layer graph works on: whole sequences, a shared prompt, or sequences that follow a shared
 * prompt.
 */
export type LayerRole = "whole" | "prompt" | "follows";

export function layerGraph(
  config: ModelConfig,
  kind: "forward" | "backward",
  { role, lora }: { readonly role: LayerRole; readonly lora?: LoraSettings | undefined },
): Uint8Array {
  const graph = new GraphBuilder();
  const trace = new GraphTrace(graph);
  const parameters = new Parameters(trace, { config, lora, areLearnt: kind === "backward" });
  const shared = attentionInputs(trace, config, role === "follows");
  const past = role === "follows" ? promptInput(trace, 0, { isLearnt: kind === "backward" }) : undefined;
  const x = graph.input(trainNames.layerInput, 2);
  const { y, ...own } = decoderLayer(trace, x, { config, parameters, layer: 0, shared, past });
  if (kind === "forward") {
    graph.output(y, trainNames.layerOutput, 2);
    if (role === "prompt") outputPrompt(graph, 0, own);
    return graph.bytes();
  }
  trace.seed(y, graph.input(trainNames.layerOutputGradient, 2));
  if (role === "prompt") seedPrompt(trace, 0, own);
  trace.backward();
  parameters.outputGradients();
  graph.output(trace.gradient(x)!, trainNames.layerInputGradient, 2);
  if (past) outputPromptGradient(trace, 0, past);
  return graph.bytes();
}

/** Final norm, head and loss; x is the output of the last layer. */
export function headGraph(config: ModelConfig, kind: TrainGraphKind, lora?: LoraSettings): Uint8Array {
  const graph = new GraphBuilder();
  const trace = new GraphTrace(graph);
  const isLearnt = kind !== "logprobs";
  const parameters = new Parameters(trace, { config, lora, areLearnt: isLearnt });
  const x = graph.input(trainNames.layerInput, 2);
  const logprob = scoredLogprobs(trace, x, { config, parameters, isLearnt });
  if (isLearnt) {
    seedLoss(trace, kind, logprob);
    trace.backward();
    parameters.outputGradients();
    graph.output(trace.gradient(x)!, trainNames.layerInputGradient, 2);
  }
  graph.output(logprob, trainNames.logprob, 2);
  return graph.bytes();
}
