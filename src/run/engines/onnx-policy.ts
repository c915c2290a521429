/** @file A policy is a Hugging Face folder; here one becomes an engine, and an engine's weights become a folder again. */
import { copyFileSync, existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeDurably } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { type ModelConfig, readModelConfig, writeModelConfig } from "../../engine/huggingface/model-config.ts";
import { readAdapterConfig, writeAdapter } from "../../engine/huggingface/peft.ts";
import { openWeights, requireFiniteWeights } from "../../engine/huggingface/safetensors.ts";
import { checkTokenizer, loadTokenizer } from "../../engine/huggingface/tokenizer.ts";
import { writeWeights } from "../../engine/huggingface/weights-writer.ts";
import { OnnxEngine } from "../../engine/onnx/engine.ts";
import type { OnnxEngineOptions } from "../../engine/onnx/options.ts";
import { type PolicySettings, writePolicySettings } from "../recipe/policy-settings.ts";

export interface PolicyOptions {
  readonly workers: number;
  readonly threads: number;
  readonly training: boolean;
  /** Tapes open at once. */
  readonly maxSequences: number;
  readonly contextLength: number;
  /** Activation checkpointing; default false. */
  readonly recompute?: boolean;
  /** Trains an adapter; absent: all weights. */
  readonly lora?: OnnxEngineOptions["lora"];
  /** How it is asked; written beside its weights. */
  readonly settings: PolicySettings;
}

export interface OpenPolicyOptions extends PolicyOptions {
  /** A PEFT folder, whose adapter is added to the weights. */
  readonly adapter?: string | undefined;
}

export interface Policy {
  readonly engine: OnnxEngine;
  readonly tokenizer: Tokenizer;
  readonly config: ModelConfig;
  readonly directory: string;
  readonly adapter?: string | undefined;
}

const GENERATION = "generation_config.json";

/** Files that say how a policy reads and writes text; they travel with its weights unchanged. */
const textFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  GENERATION,
  "chat_template.jinja",
];

/** Opens a folder and loads its weights. */
export async function openPolicy(directory: string, { adapter, ...options }: OpenPolicyOptions): Promise<Policy> {
  const config = readModelConfig(directory);
  const tokenizer = await loadTokenizer(directory);
  checkTokenizer(tokenizer, config, directory);
  await (await openWeights(directory, config)).close(); // a fault is found before any memory is asked for
  const lora = adapter === undefined ? options.lora : loraOf(adapter);
  const engine = createEngine({ directory, config, tokenizer }, { ...options, lora });
  await loadOrClose(engine, { directory, adapter }, config);
  return { engine, tokenizer, config, directory, adapter };
}

/** What an engine must be made for, to take the adapter of a PEFT folder; merged, which costs nothing where only one is used. */
export function loraOf(adapter: string): NonNullable<OnnxEngineOptions["lora"]> {
  const { rank, alpha, targets } = readAdapterConfig(adapter);
  return { rank, alpha, targets, merge: true, seed: 0 };
}

/** @throws EngineError naming the tensor where numbers are damaged */
export async function loadOrClose(
  engine: OnnxEngine,
  { directory, adapter }: { readonly directory: string; readonly adapter?: string | undefined },
  config: ModelConfig,
): Promise<void> {
  try {
    await engine.loadPolicy(directory);
    if (adapter !== undefined) await engine.loadAdapter(adapter);
  } catch (cause) {
    await engine.close();
    await requireFiniteWeights(directory, config); // the engine knows that there is one, not which
    throw cause;
  }
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
  const { lora, settings } = options;
  return new OnnxEngine({
    ...options,
    config,
    tokenizer,
    writePolicy: async (target, tensors) => {
      writeModelConfig(target, config);
      writePolicySettings(target, settings);
      copyTextFiles(directory, target, config);
      const sources = tensors.map(({ name, shape, data }) => ({
        ...{ name, shape },
        read: (into: Float32Array) => into.set(data),
      }));
      await writeWeights(target, sources);
    },
    writeAdapter:
      lora &&
      ((target, tensors) => {
        writePolicySettings(target, settings);
        writeAdapter(target, tensors, { lora, baseModel: resolve(directory) });
      }),
  });
}

/** Whatever says how a policy reads and writes; where it says nothing of how a reply ends, config.json's word is kept. */
export function copyTextFiles(directory: string, target: string, { bosId, eosIds, padId }: ModelConfig): void {
  for (const name of textFiles) {
    if (existsSync(join(directory, name))) copyFileSync(join(directory, name), join(target, name));
  }
  if (existsSync(join(target, GENERATION)) || eosIds.length === 0) return;
  const ids = { bos_token_id: bosId, eos_token_id: eosIds.length === 1 ? eosIds[0] : eosIds, pad_token_id: padId };
  writeDurably(join(target, GENERATION), `${toJson(ids, 2)}\n`);
}
