/** @file From a kind of engine to a policy that is open. */
import { openOnnx } from "./open-onnx.ts";
import type { OpenOptions, OpenPolicy } from "./open-policy.ts";

/** @param path as for `findPolicy` */
export function openEngine(path: string, options: OpenOptions): Promise<OpenPolicy> {
  const kind = options.engine?.kind ?? "onnx";
  switch (kind) {
    case "onnx":
      return openOnnx(path, options);
  }
}

/**
 * Opens a policy for a program, by default to sample only, with 32 attempts at once.
 *
 * @param path a model folder, an adapter's, a checkpoint's, or a run folder, whose newest whole checkpoint is taken
 * @throws ConfigError if there is none of these, EngineError if the folder is damaged or too large for this machine
 */
export function openPolicy(path: string, options: Partial<OpenOptions> = {}): Promise<OpenPolicy> {
  return openEngine(path, { training: false, concurrency: 32, ...options });
}
