/** @file Typed access to the WebAssembly loops of kernels.wat, over the views of one arena memory. */
import { type ArenaMemory, memoryOf } from "./arena.ts";
import { kernelsWasmBase64 } from "./kernels-wasm.ts";

/** One parameter with its gradient and optimiser state, all [n]. */
export interface AdamWTensors {
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

export interface AdamWScalars {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 1 − beta1^step. */
  readonly bias1: number;
  /** 1 − beta2^step. */
  readonly bias2: number;
  /** Multiplies the gradient before anything else; used for clipping or normalisation. */
  readonly gradScale: number;
}

/**
 * All arrays must lie in the kernels' memory, and the arrays of one call must have equal lengths; otherwise they throw.
 * Results are bit-identical on every machine and in every run: plain IEEE operations in a fixed order.
 */
export interface Kernels {
  /** Decoupled weight decay: w −= lr · (m / bias1) / (√(v / bias2) + ε) + lr · weightDecay · w; updates first and second. */
  adamw(tensors: AdamWTensors, scalars: AdamWScalars): void;
  /** momentum ← μ·momentum + (1 − μ)·g and out ← μ·momentum + (1 − μ)·g, with g = gradScale · gradient. */
  nesterov(
    tensors: { readonly gradient: Float32Array; readonly momentum: Float32Array; readonly out: Float32Array },
    scalars: { readonly mu: number; readonly gradScale: number },
  ): void;
  /** weights −= step · update + decay · weights. */
  decayedStep(
    weights: Float32Array,
    update: Float32Array,
    scalars: { readonly step: number; readonly decay: number },
  ): void;
  /** Summed in f64; not finite if an element is not. */
  sumSquares(x: Float32Array): number;
  /** target += source. */
  addInto(target: Float32Array, source: Float32Array): void;
  /** target += factor · source. */
  axpy(target: Float32Array, source: Float32Array, factor: number): void;
  scale(x: Float32Array, factor: number): void;
  fill(x: Float32Array, value: number): void;
}

type Loop<R = void> = (...numbers: number[]) => R;
interface Exports {
  readonly adamw: Loop;
  readonly nesterov: Loop;
  readonly decayedStep: Loop;
  readonly sumSquares: Loop<number>;
  readonly addInto: Loop;
  readonly axpy: Loop;
  readonly scale: Loop;
  readonly fill: Loop;
}

interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Exports };
}

const api = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
const instances = new WeakMap<ArenaMemory, Kernels>();
let compiled: object | undefined;

/** The kernels over one memory; created once per memory. */
export function kernelsFor(memory: ArenaMemory): Kernels {
  let kernels = instances.get(memory);
  if (!kernels) {
    compiled ??= new api.Module(Buffer.from(kernelsWasmBase64, "base64"));
    kernels = wrap(memory, new api.Instance(compiled, { env: { memory } }).exports);
    instances.set(memory, kernels);
  }
  return kernels;
}

/** The kernels over the memory that holds `view`. */
export function kernelsOf(view: Float32Array): Kernels {
  return kernelsFor(memoryOf(view));
}

function wrap(memory: ArenaMemory, loops: Exports): Kernels {
  /** The address of each array, followed by their common length. */
  const at = (...arrays: readonly Float32Array[]): number[] => {
    const { length } = arrays[0]!;
    const numbers = arrays.map((array) => {
      if (array.buffer !== memory.buffer) throw new Error("a kernel was given an array outside its memory");
      if (array.length !== length) throw new Error(`a kernel was given arrays of ${length} and ${array.length} floats`);
      return array.byteOffset;
    });
    numbers.push(length);
    return numbers;
  };
  return {
    adamw({ weights, gradient, first, second }, s) {
      const tensors = at(weights, gradient, first, second);
      const rates = [s.learningRate, s.beta1, s.beta2, s.epsilon, s.weightDecay];
      loops.adamw(...tensors, ...rates, s.bias1, s.bias2, s.gradScale);
    },
    nesterov: ({ gradient, momentum, out }, { mu, gradScale }) =>
      loops.nesterov(...at(gradient, momentum, out), mu, gradScale),
    decayedStep: (weights, update, { step, decay }) => loops.decayedStep(...at(weights, update), step, decay),
    sumSquares: (x) => loops.sumSquares(...at(x)),
    addInto: (target, source) => loops.addInto(...at(target, source)),
    axpy: (target, source, factor) => loops.axpy(...at(target, source), factor),
    scale: (x, factor) => loops.scale(...at(x), factor),
    fill: (x, value) => loops.fill(...at(x), value),
  };
}
