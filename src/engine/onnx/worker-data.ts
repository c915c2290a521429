/** @file The data that a worker of the engine is started with. */
import type { Tokenizer } from "../../base/tokenizer.ts";
import { MAX_LOGITS } from "./micro-batch.ts";
import { type OnnxEngineOptions, usualMicroBatch } from "./options.ts";
import type { WorkerData } from "./worker.ts";

export function workerData(
  options: OnnxEngineOptions,
  worker: number,
  exchange: SharedArrayBuffer | undefined,
): WorkerData {
  const { config, workers, threads, training, lora } = options;
  return {
    config,
    place: { worker, workers, threads, training, lora, ...(exchange ? { exchange } : {}) },
    limits: {
      tokens: options.microBatchTokens ?? usualMicroBatch,
      scored: Math.max(1, Math.floor(MAX_LOGITS / config.vocabSize)),
    },
    tokenBytes: tokenBytes(options.tokenizer, config.vocabSize),
    recompute: options.recompute ?? false,
    maxSequences: options.maxSequences,
    contextLength: Math.min(options.contextLength, config.contextLength),
  };
}

/** A model may have more ids than its tokenizer has tokens; the extra ids have no bytes. */
function tokenBytes(tokenizer: Tokenizer, vocabSize: number): WorkerData["tokenBytes"] {
  const pieces = Array.from({ length: vocabSize }, (_, id) =>
    id < tokenizer.vocabSize ? tokenizer.bytesOf(id) : new Uint8Array(),
  );
  const starts = new Uint32Array(vocabSize + 1);
  for (const [id, piece] of pieces.entries()) starts[id + 1] = starts[id]! + piece.length;
  const bytes = new Uint8Array(starts[vocabSize]!);
  for (const [id, piece] of pieces.entries()) bytes.set(piece, starts[id]!);
  return { bytes, starts };
}
