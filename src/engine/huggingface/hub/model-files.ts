/** @file Decides which files of a model on a hub are needed, before any weights are downloaded. */
import { EngineError } from "../../../base/errors.ts";
import { INDEX, SINGLE } from "../shard-index.ts";

/** Small configuration and tokenizer files; those that a model does not have are skipped. */
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
 * @throws EngineError if a required one is missing
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
          ? "pytorch_model.bin can contain programs and is not read: ask for a revision that has safetensors"
          : "name a model in the format of transformers",
    });
  }
  // a single file takes precedence over shards, as in other readers
  return smallFiles.filter((name) => has(name) && !(name === INDEX && has(SINGLE)));
}
