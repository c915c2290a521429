/** @file Which files of a model on a hub are needed here, decided before any weights are loaded. */
import { EngineError } from "../../../base/errors.ts";
import { INDEX, SINGLE } from "../shard-index.ts";

/** Small files that say how a model computes, reads and writes; those that a model lacks are left out. */
export const smallFiles = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  INDEX,
];

const neededFiles = ["config.json", "tokenizer.json"];

/**
 * The small files that a model has.
 * @param has whether the model has a file of that name
 * @throws EngineError where it lacks one that is needed
 */
export function smallFilesOf(repo: string, has: (name: string) => boolean): string[] {
  const missing = neededFiles.find((name) => !has(name));
  if (missing !== undefined) {
    throw new EngineError(`${repo} has no ${missing}`, {
      hint:
        missing === "tokenizer.json"
          ? "its tokenizer is in an older form; load it with transformers and save_pretrained it elsewhere"
          : "name a model in the format of transformers (GGUF and ONNX are not)",
    });
  }
  if (!has(SINGLE) && !has(INDEX)) {
    throw new EngineError(`${repo} has no weights in safetensors`, {
      hint:
        has("pytorch_model.bin") || has("pytorch_model.bin.index.json")
          ? "pytorch_model.bin can hold programs and is not read: ask for a revision that has safetensors"
          : "name a model in the format of transformers",
    });
  }
  // one file goes before shards, as in every reader
  return smallFiles.filter((name) => has(name) && !(name === INDEX && has(SINGLE)));
}
