/**
 * @file The only file that touches onnxruntime-node. Loaded lazily, so that nothing which only reads files pays for
 * it. A run is synchronous on its thread (the promise is a formality), so long work belongs in a worker.
 */

import type * as Ort from "onnxruntime-node";
import { EngineError, messageOf } from "../base/errors.ts";

export type TensorData = Float32Array | Int32Array | BigInt64Array | Int8Array | Uint8Array;

/** Data with its shape; zero-copy on the way in, written in place on the way out. */
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
  /** Runs the graph; results are written into the data of `outputs`, whose shapes must be exact. */
  run(inputs: Readonly<Record<string, Tensor>>, outputs: Readonly<Record<string, Tensor>>): Promise<void>;
  release(): Promise<void>;
}

/**
 * Every graph that `GraphBuilder` makes has this first output, a sequence. The binding of 1.30 copies each output a
 * second time after the run, although the caller's buffers are filled already; asked for a sequence, it stops with
 * `POISON_MESSAGE` before that copy. `probeOutputs` checks at start-up that buffers are then really filled.
 */
export const POISON_OUTPUT = "no_copy";
const POISON_MESSAGE = "Non tensor type is temporarily not supported";

let loaded: Promise<typeof Ort> | undefined;

/** @throws EngineError where this platform has no binary */
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
/** Weights and caches come with every run, and checking a tensor takes longer than passing it on. */
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
    throw new EngineError(`the runtime refused a graph: ${messageOf(cause)}`, { cause });
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

/** Runs `probe` with copies skipped; where its buffer was not written, copies are made from then on. */
export async function probeOutputs(probe: () => Promise<boolean>): Promise<boolean> {
  skipCopies = await probe().catch(() => false);
  return skipCopies;
}
