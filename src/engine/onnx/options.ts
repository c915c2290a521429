import type { Tokenizer } from "../../base/tokenizer.ts";
import type { ModelConfig } from "../huggingface/model-config.ts";
import type { NamedTensor } from "../huggingface/safetensors.ts";
import type { LoraPlace } from "../lora.ts";

export interface OnnxEngineOptions {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly workers: number;
  /** Threads of each worker. */
  readonly threads: number;
  /** False: no memory is allocated for gradients and optimiser state. */
  readonly training: boolean;
  /** Train an adapter and keep the model's weights frozen; absent: train all weights. */
  readonly lora?: LoraPlace | undefined;
  /** Number of sequences with a KV cache slot at the same time; others wait. */
  readonly maxSequences: number;
  /** The longest tape, at most what the model allows. */
  readonly contextLength: number;
  /** Activation checkpointing: the backward pass recomputes every layer, with less memory and a third more work. Default false. */
  readonly recompute?: boolean;
  /** Tokens of one micro-batch; default 512, which stay in a core's cache. */
  readonly microBatchTokens?: number;
  /** Writes the policy's folder, given its tensors. */
  readonly writePolicy: (directory: string, tensors: NamedTensor[]) => Promise<void> | void;
  /** Writes the adapter's folder, given its tensors; required with `lora`. */
  readonly writeAdapter?: ((directory: string, tensors: NamedTensor[]) => Promise<void> | void) | undefined;
}

/** Tokens of one micro-batch of learning. */
export const usualMicroBatch = 512;
