/** @file A policy that is open: what can be asked of it, whatever engine runs it. */
import { packagePath } from "../../base/package.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { splitWorlds } from "../../data/world/splits.ts";
import type { World } from "../../data/world/world.ts";
import type { EngineCapabilities, Learner, Sampler } from "../../engine/engine.ts";
import type { LoraSettings } from "../../engine/lora.ts";
import type { Protocol } from "../../protocol/protocol.ts";
import type { Question } from "../../protocol/question.ts";
import type { RolloutConfig } from "../../rollout/config.ts";
import type { EngineSettings } from "../recipe/engine-settings.ts";
import type { PolicySettings } from "../recipe/policy-settings.ts";
import type { PlaceOptions } from "../store/find-policy.ts";

/** A policy with all that an attempt needs besides searcher and question. */
export interface OpenPolicy {
  /** Absent where the engine only samples. */
  readonly learner?: Learner;
  /** Samples from the present weights. */
  sampler(): Promise<Sampler>;
  /** The policy as it was opened, frozen: the model below an adapter, else a copy. Opened at the first call. */
  reference?(): Promise<Pick<Learner, "logprobs">>;
  readonly capabilities: EngineCapabilities;
  /** Attempts at once. */
  readonly concurrency: number;
  readonly tokenizer: Tokenizer;
  readonly protocol: Protocol;
  readonly rollout: RolloutConfig;
  readonly promptFor: (question: Question) => Int32Array;
  /** Where it was opened from, and the adapter over it. */
  readonly directory: string;
  readonly adapter?: string | undefined;
  /** One line for whoever starts a run. */
  describe(): string;
  /** Closes the reference too. */
  close(): Promise<void>;
}

export interface OpenOptions extends PlaceOptions {
  readonly training: boolean;
  /** Trains an adapter; absent: all weights. */
  readonly lora?: (LoraSettings & { readonly seed: number }) | undefined;
  /** Attempts at once. */
  readonly concurrency: number;
  readonly settings?: PolicySettings;
  /** The tags it is to use, over those that the settings name. */
  readonly protocol?: Protocol | undefined;
  /** Name or file of a prompt, over what the policy was taught with. */
  readonly prompt?: string | undefined;
  /** Default the embedded engine. */
  readonly engine?: Partial<EngineSettings>;
}

/** The world whose index lies beside the bundled searcher. */
export function exampleWorld(): World {
  return splitWorlds("iid", 1)[0]!;
}

/** A folder under models/ of this package. */
export function bundled(name: string): string {
  return packagePath(`models/${name}`);
}
