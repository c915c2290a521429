/** @file A policy that knows nothing: the smallest folder that every command opens, made in milliseconds. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { trainBpe, writeTokenizer } from "../../src/engine/huggingface/bpe.ts";
import { parseModelConfig, writeModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { writeSafetensors } from "../../src/engine/huggingface/safetensors.ts";
import { protocols, protocolTags } from "../../src/protocol/protocol.ts";
import { initialWeights } from "../../src/run/pretrain/initial-weights.ts";

const END = "<|end|>";
const shape = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2 };

export function writeTinyPolicy(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const specials = [...protocolTags(protocols["r1-searcher"]), END];
  const json = trainBpe({ texts: ["the river of the town"], vocabSize: 258 + specials.length, specials });
  writeTokenizer(directory, json, { eos: END, contextLength: 512 });
  const config = parseModelConfig(
    {
      model_type: "llama",
      max_position_embeddings: 512,
      tie_word_embeddings: true,
      vocab_size: 258 + specials.length,
      ...shape,
    },
    "the tiny policy",
  );
  writeModelConfig(directory, config);
  writeSafetensors(join(directory, "model.safetensors"), initialWeights(config, 1), { format: "pt" });
  return directory;
}
