/** @file From names to objects: the only place that picks a concrete engine or searcher. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ConfigError } from "../../base/errors.ts";
import { packagePath } from "../../base/package.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { splitWorlds } from "../../data/world/splits.ts";
import type { World } from "../../data/world/world.ts";
import { readModelConfig } from "../../engine/huggingface/model-config.ts";
import { usualMicroBatch } from "../../engine/onnx/options.ts";
import { renderPrompt } from "../../protocol/prompt.ts";
import { type Protocol, protocols } from "../../protocol/protocol.ts";
import type { Question } from "../../protocol/question.ts";
import type { RolloutConfig } from "../../rollout/config.ts";
import {
  type PolicySettings,
  promptOf,
  readPolicySettings,
  settingsFile,
  withPrompt,
} from "../recipe/policy-settings.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { findPolicy, type PlaceOptions, type PolicyPlace } from "../store/find-policy.ts";
import { layoutFor } from "./layout.ts";
import { machineMemory, planRun, type RunPlan } from "./memory-plan.ts";
import { openPolicy, type Policy, type PolicyOptions } from "./onnx-policy.ts";

/** A policy with all that an attempt needs besides sampler, searcher and question. */
export interface AskablePolicy extends Policy {
  readonly protocol: Protocol;
  readonly rollout: RolloutConfig;
  readonly promptFor: (question: Question) => Int32Array;
  readonly memory: RunPlan;
}

export interface OpenOptions extends PlaceOptions {
  readonly training: boolean;
  /** Trains an adapter; absent: all weights. */
  readonly lora?: PolicyOptions["lora"];
  /** Attempts at once. */
  readonly concurrency: number;
  readonly settings?: PolicySettings;
  /** The tags it is to use, over those that the settings name. */
  readonly protocol?: Protocol | undefined;
  /** Name or file of a prompt, over what the policy was taught with. */
  readonly prompt?: string | undefined;
  readonly engine?: Partial<Recipe["engine"]>;
}

/** @param path as for `findPolicy` */
export async function openAskable(path: string, options: OpenOptions): Promise<AskablePolicy> {
  const place = await findPolicy(path, options);
  if (options.training) demandModel(path, place);
  const { directory, adapter } = place;
  const settings = withPrompt(options.settings ?? settingsAt(place), options.prompt);
  const protocol = options.protocol ?? protocols[settings.protocol];
  const config = readModelConfig(directory);
  const layout = layoutFor(config, options.engine);
  const contextLength = settings.rollout.contextLength || Number.POSITIVE_INFINITY;
  const { maxMemoryGb, recompute } = options.engine ?? {};
  const memory = planRun(
    config,
    {
      ...{ ...layout, context: contextLength, microBatchTokens: usualMicroBatch, recompute },
      learnt: !options.training ? "nothing" : (options.lora ?? "weights"),
      wanted: options.concurrency,
      limit: maxMemoryGb === undefined ? undefined : maxMemoryGb * 1e9,
    },
    machineMemory(),
  );
  const policy = await openPolicy(directory, {
    ...layout,
    training: options.training,
    lora: options.lora,
    adapter,
    // one seat alone has kernels, and so bits, of its own: only for who asks for one attempt at a time
    maxSequences: Math.max(Math.min(2, options.concurrency), Math.ceil(memory.sequences / layout.workers)),
    recompute: memory.recompute,
    contextLength,
    settings,
  });
  const { rollout } = settings;
  try {
    return { ...policy, protocol, rollout, memory, promptFor: prompterOf(settings, policy.tokenizer, protocol) };
  } catch (cause) {
    await policy.engine.close();
    throw cause;
  }
}

/** @throws EngineError at once where the model's chat template refuses what every question will give it */
export function prompterOf(
  settings: PolicySettings,
  tokenizer: Tokenizer,
  protocol: Protocol,
): AskablePolicy["promptFor"] {
  const read = (file: string): unknown => parse(readFileSync(file, "utf8"));
  const template = promptOf(settings, { protocol, tokenizer, read });
  const render = (question: string) => renderPrompt({ protocol, tokenizer, question, template });
  render("Who?");
  return ({ text }) => render(text);
}

/** As the adapter was taught to be asked, where that is known. */
function settingsAt({ directory, adapter }: PolicyPlace): PolicySettings {
  const taught = adapter !== undefined && existsSync(join(adapter, settingsFile));
  return readPolicySettings(taught ? adapter : directory);
}

function demandModel(path: string, { directory, adapter }: PolicyPlace): void {
  if (adapter === undefined) return;
  throw new ConfigError(`${path} is an adapter of ${directory}; training starts from a whole model`, {
    hint: "give the folder of the model; lora starts a new adapter over it",
  });
}

/** The world whose index lies beside the bundled searcher. */
export function exampleWorld(): World {
  return splitWorlds("iid", 1)[0]!;
}

/** A folder under models/ of this package. */
export function bundled(name: string): string {
  return packagePath(`models/${name}`);
}
