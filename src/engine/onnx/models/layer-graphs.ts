/**
 * @file The training graphs of one layer and of what comes behind the last: the host keeps only what each layer was
 * given, and every layer's way back computes the layer anew. Weights are inputs, so one graph serves all layers; in
 * its names every layer is layer 0.
 */
import { GraphBuilder } from "../../../runtime/graph-builder.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import type { LoraConfig } from "../../lora.ts";
import { GradientTape } from "../graph/tape.ts";
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

/** What the sequences of a layer graph are: whole, a prompt that others follow, or what follows one. */
export type LayerRole = "whole" | "prompt" | "follows";

export function layerGraph(
  config: ModelConfig,
  kind: "forward" | "backward",
  { role, lora }: { readonly role: LayerRole; readonly lora?: LoraConfig | undefined },
): Uint8Array {
  const graph = new GraphBuilder();
  const tape = new GradientTape(graph);
  const parameters = new Parameters(tape, { config, lora, areLearnt: kind === "backward" });
  const shared = attentionInputs(tape, config, role === "follows");
  const past = role === "follows" ? promptInput(tape, 0, { isLearnt: kind === "backward" }) : undefined;
  const x = graph.input(trainNames.layerInput, 2);
  const { y, ...own } = decoderLayer(tape, x, { config, parameters, layer: 0, shared, past });
  if (kind === "forward") {
    graph.output(y, trainNames.layerOutput, 2);
    if (role === "prompt") outputPrompt(graph, 0, own);
    return graph.bytes();
  }
  tape.seed(y, graph.input(trainNames.layerOutputGradient, 2));
  if (role === "prompt") seedPrompt(tape, 0, own);
  tape.backward();
  parameters.outputGradients();
  graph.output(tape.gradient(x)!, trainNames.layerInputGradient, 2);
  if (past) outputPromptGradient(tape, 0, past);
  return graph.bytes();
}

/** Final norm, head and loss; x is what the last layer gave. */
export function headGraph(config: ModelConfig, kind: TrainGraphKind, lora?: LoraConfig): Uint8Array {
  const graph = new GraphBuilder();
  const tape = new GradientTape(graph);
  const isLearnt = kind !== "logprobs";
  const parameters = new Parameters(tape, { config, lora, areLearnt: isLearnt });
  const x = graph.input(trainNames.layerInput, 2);
  const logprob = scoredLogprobs(tape, x, { config, parameters, isLearnt });
  if (isLearnt) {
    seedLoss(tape, kind, logprob);
    tape.backward();
    parameters.outputGradients();
    graph.output(tape.gradient(x)!, trainNames.layerInputGradient, 2);
  }
  graph.output(logprob, trainNames.logprob, 2);
  return graph.bytes();
}
