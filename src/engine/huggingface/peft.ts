/** @file Adapters in PEFT's format: `adapter_config.json` and `adapter_model.safetensors` in a folder of their own. */
import { join } from "node:path";
import { EngineError } from "../../base/errors.ts";
import { writeDurably } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { type LoraShape, type LoraTarget, loraTargets } from "../lora.ts";
import { adapterSpecs } from "./adapter-packs.ts";
import { type Fail, isGiven, type JsonObject, positive, refuseFlags, show } from "./config-fields.ts";
import { isObject, readJsonObject } from "./json-file.ts";
import type { ModelConfig } from "./model-config.ts";
import { type NamedTensor, openWeights, requireTensors, type WeightsFile, writeSafetensors } from "./safetensors.ts";

export const adapterConfigFile = "adapter_config.json";
export const adapterWeightsFile = "adapter_model.safetensors";

const MAX_CONFIG_BYTES = 10 * 2 ** 20;

export interface AdapterConfig extends LoraShape {
  /** The base model when the adapter was trained: a folder, or a name on a hub. */
  readonly baseModel: string | undefined;
}

/**
 * @throws EngineError if the folder has no adapter, or one that computes something that `LoraConfig` cannot describe
 */
export function readAdapterConfig(directory: string): AdapterConfig {
  const file = join(directory, adapterConfigFile);
  const hint = `an adapter is a PEFT folder: ${adapterConfigFile} and ${adapterWeightsFile}`;
  const raw = readJsonObject(file, { maxBytes: MAX_CONFIG_BYTES, hint });
  const fail: Fail = (message, remedy) => {
    throw new EngineError(`${file}: ${message}`, { hint: remedy });
  };
  if (raw["peft_type"] !== "LORA") fail(`peft_type ${show(raw["peft_type"])} is not supported; LORA is`);
  refuseUnsupported(raw, fail);
  const rank = raw["r"];
  if (typeof rank !== "number" || !Number.isInteger(rank) || rank < 1)
    return fail(`"r" is ${show(rank)}; expected a whole number from 1`);
  const base = raw["base_model_name_or_path"];
  return {
    rank,
    alpha: positive(raw["lora_alpha"], "lora_alpha", fail),
    targets: targetsOf(raw["target_modules"], fail),
    baseModel: typeof base === "string" && base !== "" ? base : undefined,
  };
}

function targetsOf(value: unknown, fail: Fail): LoraTarget[] {
  const supported = `supported: ${loraTargets.join(", ")}`;
  if (!Array.isArray(value) || value.length === 0)
    return fail(`target_modules ${show(value)} is not supported; a list of names is`, supported);
  const unknown = value.find((name) => !loraTargets.includes(name));
  if (unknown !== undefined) return fail(`target_modules holds ${show(unknown)}, which is not supported`, supported);
  return loraTargets.filter((target) => value.includes(target)); // PEFT writes a set, so the order carries no meaning
}

/**
 * Refuses settings with which the same numbers would compute another function, or which training here does not support.
 */
function refuseUnsupported(raw: JsonObject, fail: Fail): void {
  refuseFlags(raw, ["use_dora", "use_rslora", "use_qalora", "use_bdlora", "fan_in_fan_out", "lora_bias"], fail);
  if ((raw["lora_dropout"] ?? 0) !== 0)
    fail(
      `lora_dropout ${show(raw["lora_dropout"])} is not supported; 0 is`,
      "dropout matters only in training: to use the adapter as it is, set lora_dropout to 0 in the file",
    );
  if ((raw["bias"] ?? "none") !== "none") fail(`bias ${show(raw["bias"])} is not supported; "none" is`);
  for (const key of refusedKeys) {
    const value = raw[key];
    const isEmpty =
      (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);
    if (isGiven(value) && !isEmpty) fail(`"${key}" ${show(value)} is not supported`);
  }
  const initialisation = raw["init_lora_weights"] ?? true;
  if (typeof initialisation === "string" && !["gaussian", "eva", "orthogonal"].includes(initialisation))
    fail(
      `init_lora_weights ${show(initialisation)} is not supported: it changes the base model's weights`,
      "have PEFT convert it to a plain adapter when it saves (path_initial_model_for_weight_conversion)",
    );
}

const refusedKeys = [
  ...["modules_to_save", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern"],
  ...["layer_replication", "trainable_token_indices", "target_parameters", "exclude_modules"],
  ...["alora_invocation_tokens", "arrow_config"],
] as const;

/**
 * Opens the tensors of an adapter, whose names and shapes must be those of `lora` on this model.
 * @throws EngineError naming file and key or tensor
 */
export async function openAdapterWeights(
  directory: string,
  config: ModelConfig,
  lora: LoraShape,
): Promise<WeightsFile> {
  requireSame(directory, readAdapterConfig(directory), lora);
  const path = join(directory, adapterWeightsFile);
  const file = await openWeights(path);
  try {
    requireTensors(path, file, adapterSpecs(config, lora), {
      owner: `an adapter of ${lora.targets.join(", ")} in a ${config.family} model of this config`,
      configFile: `${adapterConfigFile} over the model`,
    });
  } catch (error) {
    await file.close();
    throw error;
  }
  return file;
}

function requireSame(directory: string, found: LoraShape, asked: LoraShape): void {
  const shown = ({ rank, alpha, targets }: LoraShape) =>
    `rank ${rank}, alpha ${alpha}, ${loraTargets.filter((target) => targets.includes(target)).join(", ")}`;
  if (shown(found) === shown(asked)) return;
  throw new EngineError(`${directory} holds an adapter with ${shown(found)}; the recipe asks for ${shown(asked)}`, {
    hint: "set lora.rank, lora.alpha and lora.targets in the recipe to the adapter's own values",
  });
}

/**
 * Writes a PEFT folder durably; PEFT and vLLM open it unchanged.
 * @param baseModel path or name of the base model
 */
export function writeAdapter(
  directory: string,
  tensors: readonly NamedTensor[],
  { lora: { rank, alpha, targets }, baseModel }: { readonly lora: LoraShape; readonly baseModel: string },
): void {
  writeSafetensors(join(directory, adapterWeightsFile), tensors, { format: "pt" });
  const config = {
    ...{ peft_type: "LORA", task_type: "CAUSAL_LM", base_model_name_or_path: baseModel, inference_mode: true },
    ...{ r: rank, lora_alpha: alpha, target_modules: targets, lora_dropout: 0, bias: "none" },
    ...{ use_dora: false, use_rslora: false, fan_in_fan_out: false, init_lora_weights: true },
    ...{ modules_to_save: null, layers_to_transform: null, layers_pattern: null, rank_pattern: {}, alpha_pattern: {} },
  };
  writeDurably(join(directory, adapterConfigFile), `${toJson(config, 2)}\n`);
}
