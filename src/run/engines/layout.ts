import { availableParallelism } from "node:os";
import type { ModelConfig } from "../../engine/huggingface/model-config.ts";

export interface Layout {
  readonly workers: number;
  /** Of each worker. */
  readonly threads: number;
}

/** Policies below this many parameters gain more from a worker per core than from threads in one. */
const smallPolicy = 30e6;

/** Workers × threads: one worker per core for a small policy, one worker with a thread per core for a large one. */
export function layoutFor(
  { width, layers, vocabSize }: Pick<ModelConfig, "width" | "layers" | "vocabSize">,
  asked: { readonly workers?: number | undefined; readonly threads?: number | undefined } = {},
): Layout {
  const cores = availableParallelism();
  const isSmall = 12 * layers * width * width + vocabSize * width < smallPolicy;
  const usual = isSmall ? { workers: Math.min(2, cores), threads: 1 } : { workers: 1, threads: cores };
  return { workers: asked.workers ?? usual.workers, threads: asked.threads ?? usual.threads };
}
