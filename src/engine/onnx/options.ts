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
  /** False saves the memory of gradients and optimiser state. */
  readonly training: boolean;
  /** An adapter learns, and the weights of the model stay as they are loaded; absent: all weights learn. */
  readonly lora?: LoraPlace | undefined;
  /** How many tapes may be open at once; more wait. */
  readonly maxSequences: number;
  /** The longest tape, at most what the model allows. */
  readonly contextLength: number;
  /** True computes every layer anew on the way back: less memory, a third more work. Default false. */
  readonly recompute?: boolean;
  /** Tokens of one micro-batch; default 512, which stay in a core's cache. */
  readonly microBatchTokens?: number;
  /** Writes the policy's folder, given its tensors. */
  readonly writePolicy: (directory: string, tensors: NamedTensor[]) => Promise<void> | void;
  /** Writes the adapter's folder, given its tensors; there where `lora` is. */
  readonly writeAdapter?: ((directory: string, tensors: NamedTensor[]) => Promise<void> | void) | undefined;
}

/** Tokens of one micro-batch of learning. */
export const usualMicroBatch = 512;
