/** @file AdamW and Muon over the parameters that one worker owns, in place in the arenas. */
import { EngineError } from "../../../base/errors.ts";
import { type Kernels, kernelsOf } from "../../../runtime/kernels.ts";
import type { OptimSpec } from "../../engine.ts";
import { createNewtonSchulz, type NewtonSchulz } from "./newton-schulz.ts";

/** The four arrays are views of one arena memory, each as long as the product of `shape`. */
export interface OwnedParameter {
  readonly name: string;
  /** Matrices are [out, in], as Hugging Face stores them: Muon scales its step by √(out / in). */
  readonly shape: readonly number[];
  readonly role: "embedding" | "head" | "matrix" | "norm" | "bias";
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  /** AdamW's mean of gradients, or Muon's momentum. */
  readonly first: Float32Array;
  /** AdamW's mean of squares. Muon works in it and leaves it zero. */
  readonly second: Float32Array;
}

export interface OptimizerOptions {
  /** Threads of the matrix products of Muon. */
  readonly threads: number;
}

export interface StepScalars {
  /** Counts from 1; the bias correction of AdamW depends on it. */
  readonly step: number;
  /** Multiplies every gradient: clipping to a global norm. */
  readonly gradScale: number;
}

export interface OptimizerState {
  readonly name: string;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

export interface Optimizer {
  /** Sum of squares of the owned gradients, in the order of the parameters; not finite where one of them is not. */
  gradientSquares(): number;
  /**
   * Updates weights and state; the gradient stays. The caller has checked that the gradient is finite.
   * @throws EngineError where the state belongs to the other kind of optimiser, before anything is written
   */
  apply(spec: OptimSpec, scalars: StepScalars): Promise<void>;
  /** False where a weight or the state is not. */
  isFinite(): boolean;
  clearGradient(): void;
  /** Live views: written to a checkpoint, or filled from one and then declared by `restored`. The caller keeps the step. */
  state(): readonly OptimizerState[];
  /** Which kind the state belongs to; undefined before the first step and after `reset`. */
  stateKind(): OptimSpec["kind"] | undefined;
  /** Says that `state()` was filled from a checkpoint of this kind. */
  restored(kind: OptimSpec["kind"]): void;
  /** Zeroes the state; the caller begins again at step 1. */
  reset(): void;
  release(): Promise<void>;
}

/** Momentum of the matrices; `beta1` and `beta2` of a spec belong to AdamW. */
const muonMomentum = 0.95;
/** Keeps a zero gradient at zero when it is divided by its norm. */
const normFloor = 1e-7;

export function createOptimizer(parameters: readonly OwnedParameter[], options: OptimizerOptions): Optimizer {
  parameters.forEach(checkParameter);
  const owned = parameters.map((parameter) => ({ parameter, kernels: kernelsOf(parameter.weights) }));
  const newtonSchulz = createNewtonSchulz(options.threads);
  let kind: OptimSpec["kind"] | undefined;
  return {
    gradientSquares: () =>
      owned.reduce((sum, { parameter, kernels }) => sum + kernels.sumSquares(parameter.gradient), 0),
    async apply(spec, scalars) {
      checkStep(scalars.step);
      checkKind(kind, spec.kind);
      kind = spec.kind;
      for (const { parameter, kernels } of owned) {
        if (spec.kind === "muon" && isMatrix(parameter)) {
          await muonStep({ parameter, kernels, newtonSchulz }, spec, scalars);
        } else {
          adamwStep(parameter, kernels, { spec, scalars });
        }
      }
    },
    isFinite: () =>
      owned.every(({ parameter: { weights, first, second }, kernels }) =>
        [weights, first, second].every((numbers) => Number.isFinite(kernels.sumSquares(numbers))),
      ),
    clearGradient() {
      for (const { parameter, kernels } of owned) kernels.fill(parameter.gradient, 0);
    },
    state: () => parameters.map(({ name, first, second }) => ({ name, first, second })),
    stateKind: () => kind,
    restored(restoredKind) {
      kind = restoredKind;
    },
    reset() {
      for (const { parameter, kernels } of owned) {
        kernels.fill(parameter.first, 0);
        kernels.fill(parameter.second, 0);
      }
      kind = undefined;
    },
    release: () => newtonSchulz.release(),
  };
}

function isMatrix({ role, shape }: OwnedParameter): boolean {
  return role === "matrix" && shape.length === 2;
}

/** Gains and biases are scales, not directions: decay would pull them to zero for no reason. */
function decays({ role, shape }: OwnedParameter): boolean {
  return role !== "norm" && shape.length > 1;
}

function adamwStep(
  parameter: OwnedParameter,
  kernels: Kernels,
  { spec, scalars }: { readonly spec: OptimSpec; readonly scalars: StepScalars },
): void {
  const learningRate = spec.kind === "muon" ? (spec.adamLearningRate ?? spec.learningRate) : spec.learningRate;
  kernels.adamw(parameter, {
    learningRate,
    beta1: spec.beta1,
    beta2: spec.beta2,
    epsilon: spec.epsilon,
    weightDecay: decays(parameter) ? spec.weightDecay : 0,
    bias1: 1 - spec.beta1 ** scalars.step,
    bias2: 1 - spec.beta2 ** scalars.step,
    gradScale: scalars.gradScale,
  });
}

interface MuonTools {
  readonly parameter: OwnedParameter;
  readonly kernels: Kernels;
  readonly newtonSchulz: NewtonSchulz;
}

/** `second` holds the update while it is made: same memory, same length, and Muon has no other use for it. */
async function muonStep(tools: MuonTools, spec: OptimSpec, { gradScale }: StepScalars): Promise<void> {
  const { parameter, kernels, newtonSchulz } = tools;
  const { weights, gradient, first, second: update } = parameter;
  const shape = parameter.shape as readonly [number, number];
  kernels.nesterov({ gradient, momentum: first, out: update }, { mu: muonMomentum, gradScale });
  kernels.scale(update, 1 / (Math.sqrt(kernels.sumSquares(update)) + normFloor));
  await newtonSchulz.run(update, shape);
  kernels.decayedStep(weights, update, {
    step: spec.learningRate * Math.sqrt(Math.max(1, shape[0] / shape[1])),
    decay: spec.learningRate * spec.weightDecay,
  });
  kernels.fill(update, 0);
}

function checkParameter({ name, shape, weights, gradient, first, second }: OwnedParameter): void {
  const length = shape.reduce((product, n) => product * n, 1);
  for (const [what, array] of Object.entries({ weights, gradient, first, second })) {
    if (array.length !== length) {
      throw new Error(`${name}: ${what} has ${array.length} floats; shape [${shape.join(", ")}] needs ${length}`);
    }
    if (array.buffer !== weights.buffer) throw new Error(`${name}: ${what} and weights lie in different arenas`);
  }
}

function checkStep(step: number): void {
  if (!Number.isSafeInteger(step) || step < 1) throw new Error(`optimiser steps count from 1, not ${step}`);
}

function checkKind(state: OptimSpec["kind"] | undefined, asked: OptimSpec["kind"]): void {
  if (state === undefined || state === asked) return;
  throw new EngineError(`the optimiser state belongs to ${state}, but this step asks for ${asked}`, {
    hint: `keep ${state}, or start from the weights alone, without the old optimiser state`,
  });
}
