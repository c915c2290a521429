/** @file The embedded engine with a random Llama of a few thousand numbers, for the tests of this folder and `onnx/`. */
import { join } from "node:path";
import { randomOf } from "../../base/random.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { parameterSpecs, parseModelConfig } from "../huggingface/model-config.ts";
import { writeAdapter } from "../huggingface/peft.ts";
import { writeSafetensors } from "../huggingface/safetensors.ts";
import type { LoraSettings } from "../lora.ts";
import { OnnxEngine } from "../onnx/engine.ts";
import type { EngineUnderTest } from "./subject.ts";

const config = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 97,
    hidden_size: 64,
    intermediate_size: 80,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
  },
  "the test",
);
const weights = parameterSpecs(config).map(({ name, shape, role }) => {
  const random = randomOf("tiny", name);
  const length = shape.reduce((product, n) => product * n, 1);
  return {
    name,
    shape,
    data: Float32Array.from({ length }, () => (role === "norm" ? 1 : 0.15 * random.normal())),
  };
});

const bytesOf = (id: number) => Uint8Array.of(id);

/**
 * @param folder where the weights are written first, to be loaded from
 * @param lora of an adapter to be trained in their place
 */
export async function tinyOnnxEngine(
  folder: string,
  workers: number,
  lora?: LoraSettings,
): Promise<EngineUnderTest & { readonly learner: OnnxEngine }> {
  writeSafetensors(join(folder, "model.safetensors"), weights);
  const engine = new OnnxEngine({
    config,
    tokenizer: { vocabSize: config.vocabSize, bytesOf } as Tokenizer,
    workers,
    threads: 1,
    training: true,
    lora: lora && { ...lora, seed: 3 },
    maxSequences: 3,
    contextLength: 256,
    writePolicy: (directory, tensors) => writeSafetensors(join(directory, "model.safetensors"), tensors),
    writeAdapter: lora && ((directory, tensors) => writeAdapter(directory, tensors, { lora, baseModel: folder })),
  });
  await engine.loadPolicy(folder);
  return {
    vocabSize: config.vocabSize,
    bytesOf,
    learner: engine,
    publish: () => engine.publish(),
    close: () => engine.close(),
  };
}
