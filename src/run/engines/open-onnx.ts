/** @file A policy opened with the embedded engine: its place, its prompt, and as much of it at once as memory holds. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../base/errors.ts";
import type { Learner } from "../../engine/engine.ts";
import { readModelConfig } from "../../engine/huggingface/model-config.ts";
import { usualMicroBatch } from "../../engine/onnx/options.ts";
import { protocols } from "../../protocol/protocol.ts";
import { type PolicySettings, readPolicySettings, settingsFile, withPrompt } from "../recipe/policy-settings.ts";
import { findLocalPolicy, type LocalPlace } from "../store/find-policy.ts";
import { layoutFor } from "./layout.ts";
import { describePlan, machineMemory, planRun, type RunPlan } from "./memory-plan.ts";
import { openPolicy, type Policy } from "./onnx-policy.ts";
import type { OpenOptions, OpenPolicy } from "./open-policy.ts";
import { prompterOf } from "./prompter.ts";

/** For what measures this engine: it sees more of it than the interface shows. */
export interface OnnxPolicy extends OpenPolicy, Policy {
  readonly learner: Policy["engine"];
  readonly memory: RunPlan;
}

/** @param path as for `findPolicy` */
export async function openOnnx(path: string, options: OpenOptions): Promise<OnnxPolicy> {
  const place = await findLocalPolicy(path, options);
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
    // a single cache slot uses other kernels and gives other bits: only for callers that run one attempt at a time
    maxSequences: Math.max(Math.min(2, options.concurrency), Math.ceil(memory.sequences / layout.workers)),
    recompute: memory.recompute,
    contextLength,
    settings,
  });
  const { rollout } = settings;
  try {
    const { engine } = policy;
    const { reference, close } = referenceOf(path, policy, options);
    return {
      ...{ ...policy, protocol, rollout, memory, promptFor: prompterOf(settings, policy.tokenizer, protocol) },
      ...{ learner: engine, capabilities: engine.capabilities, concurrency: memory.sequences, reference },
      sampler: () => engine.publish(),
      describe: () => describePlan(memory),
      close: async () => {
        await close();
        await engine.close();
      },
    };
  } catch (cause) {
    await policy.engine.close();
    throw cause;
  }
}

/** As the adapter was taught to be asked, where that is known. */
function settingsAt({ directory, adapter }: LocalPlace): PolicySettings {
  const taught = adapter !== undefined && existsSync(join(adapter, settingsFile));
  return readPolicySettings(taught ? adapter : directory);
}

function demandModel(path: string, { directory, adapter }: LocalPlace): void {
  if (adapter === undefined) return;
  throw new ConfigError(`${path} is an adapter of ${directory}; training starts from a whole model`, {
    hint: "give the folder of the model; lora starts a new adapter over it",
  });
}

/** The model below an adapter costs nothing; without an adapter a copy is opened, that does not learn. */
function referenceOf(path: string, { engine }: Policy, options: OpenOptions) {
  if (options.lora) return { reference: async () => engine.base, close: async () => {} };
  let copy: Promise<OnnxPolicy> | undefined;
  return {
    reference: async (): Promise<Pick<Learner, "logprobs">> => {
      copy ??= openOnnx(path, { ...options, training: false, concurrency: 1 });
      return (await copy).learner;
    },
    close: async () => {
      await (await copy?.catch(() => undefined))?.close(); // one that could not be opened said so already
    },
  };
}
