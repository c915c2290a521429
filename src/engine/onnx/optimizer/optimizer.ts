/** @file AdamW and Muon for the parameters that one worker owns, updated in place in the arenas. */
import { EngineError } from "../../../base/errors.ts";
import { type Kernels, kernelsOf } from "../../../runtime/kernels.ts";
import type { OptimSpec } from "../../engine.ts";
import { createNewtonSchulz, type NewtonSchulz } from "./newton-schulz.ts";

/** The four arrays are views of the same arena memory; each has as many elements as the product of `shape`. */
export interface OwnedParameter {
  readonly name: string;
  /** Matrices are [out, in], as Hugging Face stores them; Muon scales its step by √(out / in). */
  readonly shape: readonly number[];
  readonly role: "embedding" | "head" | "matrix" | "norm" | "bias";
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  /** First moment: AdamW's mean of gradients, or Muon's momentum. */
  readonly first: Float32Array;
  /** Second moment: AdamW's mean of squared gradients. Muon uses it as scratch memory and leaves it zero. */
  readonly second: Float32Array;
}

export interface OptimizerOptions {
  /** Threads for the matrix products of Muon. */
  readonly threads: number;
}

export interface StepScalars {
  /** Counts from 1; AdamW's bias correction depends on it. */
  readonly step: number;
  /** Multiplies every gradient; used for clipping to a global norm. */
  readonly gradScale: number;
}

export interface OptimizerState {
  readonly name: string;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

export interface Optimizer {
  /**
   * Sum of the squared gradients of the owned parameters, added in parameter order; not finite if one of them is not.
   */
  gradientSquares(): number;
  /**
   * Updates weights and state and leaves the gradient as it is. The caller has checked that the gradient is finite.
   * @throws EngineError if the state belongs to the other kind of optimiser; nothing is written then
   */
  apply(spec: OptimSpec, scalars: StepScalars): Promise<void>;
  /** False if a weight or the state is not finite. */
  isFinite(): boolean;
  clearGradient(): void;
  /**
   * Live views, to write into a checkpoint or to fill from one (then call `restored`). The caller keeps the step count.
   */
  state(): readonly OptimizerState[];
  /** The optimiser that the state belongs to; undefined before the first step and after `reset`. */
  stateKind(): OptimSpec["kind"] | undefined;
  /** Declares that `state()` was filled from a checkpoint of this kind. */
  restored(kind: OptimSpec["kind"]): void;
  /** Zeroes the state; the caller starts again at step 1. */
  reset(): void;
  release(): Promise<void>;
}

/** Momentum for the matrices; `beta1` and `beta2` of a spec apply to AdamW. */
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

/** Weight decay applies to matrices only; norm gains and biases are not decayed. */
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

/** `second` is scratch memory for the update: it has the right size and Muon does not use it otherwise. */
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
    hint: `continue with ${state}, or load only the weights, without the old optimiser state`,
  });
}
