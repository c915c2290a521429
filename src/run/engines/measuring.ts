/** @file What it takes to measure the embedded engine's speed: an engine with made-up weights, work for it, and a clock. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomOf } from "../../base/random.ts";
import type { TrainingSequence } from "../../engine/engine.ts";
import { type ModelConfig, writeModelConfig } from "../../engine/huggingface/model-config.ts";
import { type NamedTensor, writeSafetensors } from "../../engine/huggingface/safetensors.ts";
import type { OnnxEngine } from "../../engine/onnx/engine.ts";
import { byteTokenizer } from "../../protocol/byte-tokenizer.ts";
import { PolicySettings } from "../recipe/policy-settings.ts";
import type { Layout } from "./layout.ts";
import { createEngine } from "./onnx-policy.ts";

export interface MeasuredEngineOptions {
  readonly weights: readonly NamedTensor[];
  readonly layout: Layout;
  /** Sampled at once, all workers together. */
  readonly sequences: number;
}

/** An engine that samples and learns with the weights given. The caller closes it. */
export async function openMeasuredEngine(
  config: ModelConfig,
  { weights, layout: { workers, threads }, sequences }: MeasuredEngineOptions,
): Promise<OnnxEngine> {
  const directory = mkdtempSync(join(tmpdir(), "r1-searcher-measure-"));
  try {
    writeModelConfig(directory, config);
    writeSafetensors(join(directory, "model.safetensors"), weights, { format: "pt" });
    const engine = createEngine(
      { directory, config, tokenizer: byteTokenizer([]) },
      {
        ...{ workers, threads },
        training: true,
        maxSequences: Math.ceil(sequences / workers),
        contextLength: config.contextLength,
        settings: PolicySettings.parse({}),
      },
    );
    await engine.loadPolicy(directory);
    return engine;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** How a request samples where only the work counts: nothing but maxTokens ends it. */
export const toTheEnd = { temperature: 1, topP: 1, topK: 0, stop: { tokens: [], text: [] } } as const;

/** Every position is scored. */
export function trainingBatch(
  config: ModelConfig,
  { sequences, length }: { readonly sequences: number; readonly length: number },
): TrainingSequence[] {
  const random = randomOf("bench", "train");
  return Array.from({ length: sequences }, (_, i) => ({
    tokens: Int32Array.from({ length }, () => random.int(config.vocabSize)),
    weights: Float32Array.from({ length }, (_, t) => (t === 0 ? 0 : 1 / (sequences * (length - 1)))),
    advantages: new Float32Array(length).fill(i % 2 === 0 ? 1 : -1),
    oldLogprobs: new Float32Array(length).fill(-Math.log(config.vocabSize)),
  }));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Seconds by the wall clock. */
export async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}
