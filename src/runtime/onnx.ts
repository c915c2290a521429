/**
 * @file The only file that uses onnxruntime-node. It is loaded lazily, so that commands which only read files do not
 * load it. A run blocks its thread although it returns a promise, so long computations belong in a worker.
 */

import type * as Ort from "onnxruntime-node";
import { EngineError, messageOf } from "../base/errors.ts";

export type TensorData = Float32Array | Int32Array | BigInt64Array | Int8Array | Uint8Array;

/** Data with its shape. Inputs are passed without a copy; outputs are written into the data in place. */
export interface Tensor {
  readonly data: TensorData;
  readonly shape: readonly number[];
}

export interface SessionOptions {
  readonly threads: number;
}

export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Runs the graph and writes the results into the data of `outputs`, whose shapes must be exact. */
  run(inputs: Readonly<Record<string, Tensor>>, outputs: Readonly<Record<string, Tensor>>): Promise<void>;
  release(): Promise<void>;
}

/**
 * The first output of every graph from `GraphBuilder` is a sequence with this name. The binding of ONNX Runtime 1.30
 * copies each output a second time after the run, although the caller's buffers are already filled. A sequence makes it
 * stop with `POISON_MESSAGE` before that copy. `probeOutputs` checks at start-up that the buffers really are filled.
 */
export const POISON_OUTPUT = "no_copy";
const POISON_MESSAGE = "Non tensor type is temporarily not supported";

let loaded: Promise<typeof Ort> | undefined;

/** @throws EngineError if there is no binary for this platform */
export function loadOnnxRuntime(): Promise<typeof Ort> {
  loaded ??= import("onnxruntime-node").then(
    (module) => ("default" in module && module.default ? (module.default as unknown as typeof Ort) : module),
    (cause) => {
      throw new EngineError(`onnxruntime-node cannot be loaded: ${messageOf(cause)}`, {
        hint: "prebuilt engines exist for Linux (glibc, x64 and arm64), macOS on Apple silicon and Windows; not for Alpine/musl or Intel Macs",
        cause,
      });
    },
  );
  return loaded;
}

function typeOf(data: TensorData): "float32" | "int32" | "int64" | "int8" | "uint8" {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Int8Array) return "int8";
  if (data instanceof Uint8Array) return "uint8";
  return data instanceof Int32Array ? "int32" : "int64";
}

let skipCopies = true;
/**
 * Weights and caches are passed to every run, and checking a tensor takes longer than passing it on, so results are
 * cached.
 */
const converted = new WeakMap<Tensor, Ort.Tensor>();

export async function createSession(model: Uint8Array, options: SessionOptions): Promise<Session> {
  const ort = await loadOnnxRuntime();
  let session: Ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(model, {
      executionProviders: ["cpu"],
      intraOpNumThreads: options.threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      enableMemPattern: false, // shapes vary: patterns cost memory and save no time
      enableCpuMemArena: true,
      logSeverityLevel: 4,
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
  } catch (cause) {
    throw new EngineError(`the runtime cannot load a graph: ${messageOf(cause)}`, { cause });
  }
  const toOrt = (tensor: Tensor) => {
    const known = converted.get(tensor);
    if (known) return known;
    const made = new ort.Tensor(typeOf(tensor.data), tensor.data as never, tensor.shape);
    converted.set(tensor, made);
    return made;
  };
  const convert = (tensors: Readonly<Record<string, Tensor>>) =>
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, toOrt(tensor)]));
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames.filter((name) => name !== POISON_OUTPUT),
    async run(inputs, outputs) {
      const fetches: Record<string, Ort.Tensor | null> = convert(outputs);
      const poisoned = skipCopies && session.outputNames[0] === POISON_OUTPUT;
      if (poisoned) fetches[POISON_OUTPUT] = null;
      try {
        await session.run(convert(inputs), fetches as never);
      } catch (cause) {
        if (poisoned && messageOf(cause).includes(POISON_MESSAGE)) return;
        throw new EngineError(`a graph failed to run: ${messageOf(cause)}`, { cause });
      }
    },
    release: () => session.release(),
  };
}

/** Runs `probe` with the second copy skipped; if its buffer was not filled, copies are made from then on. */
export async function probeOutputs(probe: () => Promise<boolean>): Promise<boolean> {
  skipCopies = await probe().catch(() => false);
  return skipCopies;
}
