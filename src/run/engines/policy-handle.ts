/** @file A policy for programs: its interfaces and how it is asked, whatever engine is behind them. */
import type { Tokenizer } from "../../base/tokenizer.ts";
import type { Learner, Sampler } from "../../engine/engine.ts";
import type { Protocol } from "../../protocol/protocol.ts";
import type { Question } from "../../protocol/question.ts";
import type { RolloutConfig } from "../../rollout/config.ts";
import type { PlaceOptions } from "../store/find-policy.ts";
import { openAskable } from "./open-policy.ts";

export interface OpenPolicyOptions extends PlaceOptions {
  /** Whether it can learn, which takes more memory. Default false. */
  readonly training?: boolean;
  /** Attempts at once; default 32. */
  readonly concurrency?: number;
  /** Name or file of a prompt; default the policy's own. */
  readonly prompt?: string;
}

export interface OpenPolicy {
  /** Absent unless it was opened for training. */
  readonly learner?: Learner;
  /** Samples from the present weights. */
  sampler(): Promise<Sampler>;
  readonly tokenizer: Tokenizer;
  /** The tags of its searches and answers. */
  readonly protocol: Protocol;
  /** How its attempts run. */
  readonly rollout: RolloutConfig;
  /** The tokens that an attempt at the question begins with. */
  promptFor(question: Question): Int32Array;
  /** Attempts at once that fit into memory. */
  readonly concurrency: number;
  close(): Promise<void>;
}

/**
 * Opens a policy with the embedded engine.
 *
 * @param path a model folder, an adapter's, a checkpoint's, or a run folder, whose newest whole checkpoint is taken
 * @throws ConfigError where there is neither, EngineError where the folder is damaged or too large for this machine
 */
export async function openPolicy(path: string, options: OpenPolicyOptions = {}): Promise<OpenPolicy> {
  const { training = false, concurrency = 32 } = options;
  const opened = await openAskable(path, { ...options, training, concurrency });
  const { engine, tokenizer, protocol, rollout, promptFor, memory } = opened;
  return {
    ...(training ? { learner: engine } : {}),
    sampler: () => engine.publish(),
    tokenizer,
    protocol,
    rollout,
    promptFor,
    concurrency: memory.sequences,
    close: () => engine.close(),
  };
}
