/** @file AdamW (Loshchilov and Hutter, 2019) in plain numbers, for engines written in TypeScript. */
import { readFileSync } from "node:fs";
import { EngineError, messageOf } from "../base/errors.ts";
import { writeDurably } from "../base/files.ts";
import type { OptimReport, OptimSpec } from "./engine.ts";

/** Weights [N] and what AdamW remembers of them. */
export interface AdamWState {
  readonly weights: Float64Array;
  /** Running mean of the gradient and of its square, [N] each. */
  readonly first: Float64Array;
  readonly second: Float64Array;
  readonly step: number;
}

export function adamWState(weights: Float64Array): AdamWState {
  return { weights, first: new Float64Array(weights.length), second: new Float64Array(weights.length), step: 0 };
}

/**
 * One update. The state is not changed; the next one is returned, or the same one if the gradient is not finite.
 *
 * @param gradient of the summed loss, [N]
 * @throws EngineError if the spec asks for another optimiser
 */
export function adamWStep(
  state: AdamWState,
  gradient: Float64Array,
  spec: OptimSpec,
): { readonly state: AdamWState; readonly report: OptimReport } {
  const { kind, learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm } = spec;
  if (kind !== "adamw") throw new EngineError(`optimizer.kind is ${kind}; this engine has adamw`);
  const gradNorm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
  if (!Number.isFinite(gradNorm)) return { state, report: { gradNorm, applied: false } };
  const scale = maxGradNorm > 0 && gradNorm > maxGradNorm ? maxGradNorm / gradNorm : 1;
  const step = state.step + 1;
  const first = state.first.map((mean, i) => beta1 * mean + (1 - beta1) * scale * gradient[i]!);
  const second = state.second.map((mean, i) => beta2 * mean + (1 - beta2) * (scale * gradient[i]!) ** 2);
  const weights = state.weights.map((weight, i) => {
    const mean = first[i]! / (1 - beta1 ** step);
    const square = second[i]! / (1 - beta2 ** step);
    return weight - learningRate * (mean / (Math.sqrt(square) + epsilon) + weightDecay * weight);
  });
  return { state: { weights, first, second, step }, report: { gradNorm, applied: true } };
}

/** The state as JSON, with every bit of its numbers. */
export function adamWText({ weights, first, second, step }: AdamWState): string {
  return JSON.stringify({ weights: [...weights], first: [...first], second: [...second], step });
}

/** The state that `adamWText` wrote. @throws EngineError if the text holds none */
export function adamWFrom(text: string): AdamWState {
  try {
    const { weights, first, second, step } = JSON.parse(text) as Record<keyof AdamWState, number[]> & { step: number };
    const [w, m, v] = [weights, first, second].map((values) => Float64Array.from(values));
    return { weights: w!, first: m!, second: v!, step };
  } catch (cause) {
    throw new EngineError(`these are no weights of this engine: ${messageOf(cause)}`, { cause });
  }
}

export function writeAdamW(file: string, state: AdamWState): void {
  writeDurably(file, adamWText(state));
}

/** @throws EngineError if the file cannot be read or holds no state */
export function readAdamW(file: string): AdamWState {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new EngineError(`${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
  return adamWFrom(text);
}
