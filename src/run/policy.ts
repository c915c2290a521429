/** @file A policy is a Hugging Face folder; here one becomes an engine, and an engine's weights become a folder again. */
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { Tokenizer } from "../base/tokenizer.ts";
import { type ModelConfig, readModelConfig, writeModelConfig } from "../engine/huggingface/model-config.ts";
import { openWeights, writeSafetensors } from "../engine/huggingface/safetensors.ts";
import { checkTokenizer, loadTokenizer } from "../engine/huggingface/tokenizer.ts";
import { OnnxEngine } from "../engine/onnx/engine.ts";
import { type PolicySettings, writePolicySettings } from "./policy-settings.ts";

export interface PolicyOptions {
  readonly workers: number;
  readonly threads: number;
  readonly training: boolean;
  /** Tapes open at once. */
  readonly maxSequences: number;
  readonly contextLength: number;
  /** Layers are computed anew on the way back; default false. */
  readonly recompute?: boolean;
  /** How it is asked; written beside its weights. */
  readonly settings: PolicySettings;
}

export interface Policy {
  readonly engine: OnnxEngine;
  readonly tokenizer: Tokenizer;
  readonly config: ModelConfig;
  readonly directory: string;
}

/** Files that say how a policy reads and writes text; they travel with its weights unchanged. */
const textFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "generation_config.json",
  "chat_template.jinja",
];

/** Opens a folder and loads its weights. */
export async function openPolicy(directory: string, options: PolicyOptions): Promise<Policy> {
  const config = readModelConfig(directory);
  const tokenizer = await loadTokenizer(directory);
  checkTokenizer(tokenizer, config, directory);
  await (await openWeights(directory, config)).close(); // a fault is found before any memory is asked for
  const engine = createEngine({ directory, config, tokenizer }, options);
  await engine.loadPolicy(directory);
  return { engine, tokenizer, config, directory };
}

/** An engine without weights yet; `directory` is where its text files come from when it is saved. */
export function createEngine(
  {
    directory,
    config,
    tokenizer,
  }: { readonly directory: string; readonly config: ModelConfig; readonly tokenizer: Tokenizer },
  options: PolicyOptions,
): OnnxEngine {
  return new OnnxEngine({
    ...options,
    config,
    tokenizer,
    writePolicy: (target, tensors) => {
      writeModelConfig(target, config);
      writePolicySettings(target, options.settings);
      for (const name of textFiles) {
        if (existsSync(join(directory, name))) copyFileSync(join(directory, name), join(target, name));
      }
      writeSafetensors(join(target, "model.safetensors"), tensors, { format: "pt" });
    },
  });
}
