/** @file What the scripts share that compare the engine with PyTorch on random models. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { WeightsFile } from "../../src/engine/huggingface/safetensors.ts";

/** Runs a Python script of this folder. @returns what it printed */
export function python(name: string, ...options: readonly string[]): string {
  const script = fileURLToPath(new URL(name, import.meta.url));
  const { stdout, stderr, status } = spawnSync(process.env["PYTHON"] ?? "python3", [script, ...options], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`PyTorch failed: ${stderr}`);
  return stdout;
}

export async function numbers(file: WeightsFile, name: string): Promise<Float32Array> {
  const data = new Float32Array(file.shape(name).reduce((product, n) => product * n, 1));
  await file.read(name, data);
  return data;
}

export const idsOf = async (file: WeightsFile, name: string) => Int32Array.from(await numbers(file, name));

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return Array.from(a, (x, i) => Math.abs(x - b[i]!)).reduce((worst, x) => Math.max(worst, x), 0);
}

/** The largest difference over the largest number of what was expected. */
export function relativeDifference(ours: ArrayLike<number>, theirs: ArrayLike<number>): number {
  return largestDifference(ours, theirs) / Array.from(theirs).reduce((m, x) => Math.max(m, Math.abs(x)), 0);
}

/** The PPO loss of `ppo_loss` in families.py on sequence 0, but for its old log-probabilities. */
export function ppoWeights(length: number): { weights: Float32Array; advantages: Float32Array } {
  return {
    weights: Float32Array.from({ length }, (_, t) => (t > 0 && t % 3 !== 0 ? 0.05 + 0.01 * t : 0)),
    advantages: Float32Array.from({ length }, (_, t) => Math.sin(1.7 * t)),
  };
}
