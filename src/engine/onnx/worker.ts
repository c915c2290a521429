/** @file A worker thread: one replica with its learner and its decoder, answering calls from `engine.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import { probeOutputs } from "../../runtime/onnx.ts";
import { faultOf } from "../../runtime/worker-fault.ts";
import type { Call } from "../../runtime/worker-pool.ts";
import type { LossSpec, OptimSpec, SampleKey, SampleRequest, TrainingSequence } from "../engine.ts";
import type { ModelConfig } from "../huggingface/model-config.ts";
import type { NamedTensor } from "../huggingface/safetensors.ts";
import { LearnerCore } from "./learner-core.ts";
import type { MicroBatchLimits } from "./micro-batch.ts";
import { probeExpected, runProbe } from "./probe.ts";
import { Replica, type ReplicaPlace } from "./replica.ts";
import type { WrittenSample } from "./sampler/cached-sequence.ts";
import { Decoder } from "./sampler/decoder.ts";

export interface WorkerData {
  readonly config: ModelConfig;
  readonly place: ReplicaPlace;
  readonly limits: MicroBatchLimits;
  readonly recompute: boolean;
  /** The raw bytes of every token, concatenated, and where each begins (vocabulary + 1 entries). */
  readonly tokenBytes: { readonly bytes: Uint8Array; readonly starts: Uint32Array };
  readonly maxSequences: number;
  readonly contextLength: number;
}

export interface SampleJob {
  readonly request: SampleRequest;
  /** Identifies the request for `cancel`. */
  readonly ticket: number;
}

await probeOutputs(async () => (await runProbe()).every((value, i) => value === probeExpected[i]));

const data = workerData as WorkerData;
const replica = new Replica(data.config, data.place);
const learner = new LearnerCore({
  config: data.config,
  weights: replica.weights,
  base: replica.base,
  gradients: replica.gradients,
  lora: data.place.lora,
  threads: data.place.threads,
  limits: data.limits,
  recompute: data.recompute,
});
let decoder: Promise<Decoder> | undefined;
let pumping = false;
const sampling = new Map<number, SampleRequest>();

/** Created at the first request to sample, because training alone needs no cache. */
function theDecoder(): Promise<Decoder> {
  const { bytes, starts } = data.tokenBytes;
  decoder ??= Decoder.create({
    config: data.config,
    weights: replica.weights,
    lora: data.place.lora,
    bytesOf: (id) => bytes.subarray(starts[id]!, starts[id + 1]!),
    threads: data.place.threads,
    maxSequences: data.maxSequences,
    contextLength: data.contextLength,
  });
  return decoder;
}

async function pump(running: Decoder): Promise<void> {
  if (pumping) return;
  pumping = true;
  try {
    while (await running.step());
  } catch (cause) {
    running.fail(cause as Error);
  } finally {
    pumping = false;
  }
}

async function sample({ request, ticket }: SampleJob): Promise<WrittenSample> {
  sampling.set(ticket, request);
  try {
    const running = await theDecoder();
    return await new Promise((resolve, reject) => {
      running.submit(request, (result) => (result instanceof Error ? reject(result) : resolve(result)));
      void pump(running);
    });
  } finally {
    sampling.delete(ticket);
  }
}

async function cancel(ticket: number): Promise<void> {
  const request = sampling.get(ticket);
  if (request) (await decoder)?.cancel(request);
}

function copies(tensors: readonly NamedTensor[]): NamedTensor[] {
  return tensors.map(({ name, shape, data: view }) => ({ name, shape, data: view.slice() }));
}

const methods: Record<string, (argument: never) => unknown> = {
  sample,
  cancel,
  finished: async (key: SampleKey) => (await decoder)?.finished(key),
  release: async () => (await decoder)?.release(),
  forwardBackward: ({ batch, loss }: { batch: TrainingSequence[]; loss: LossSpec }) =>
    learner.forwardBackward(batch, loss),
  logprobs: (batch: Int32Array[]) => learner.logprobs(batch),
  baseLogprobs: (batch: Int32Array[]) => learner.logprobs(batch, { base: true }),
  showGradients: () => replica.showGradients(),
  reduceGradients: () => replica.reduceGradients(),
  applyUpdate: ({ spec, step, gradScale }: { spec: OptimSpec; step: number; gradScale: number }) =>
    replica.applyUpdate(spec, step, gradScale),
  adoptWeights: async () => {
    await replica.adoptWeights();
    replica.clearGradients();
  },
  clearGradients: () => replica.clearGradients(),
  isFinite: () => replica.isFinite(),
  stateIsFinite: () => replica.stateIsFinite(),
  tensors: async () => copies(await replica.tensors()),
  adapterTensors: () => copies(replica.adapterTensors()),
  loadWeights: (directory: string) => replica.loadWeights(directory),
  loadAdapter: (directory: string) => replica.loadAdapter(directory),
  saveOptimizer: ({ directory, step }: { directory: string; step: number }) => replica.saveOptimizer(directory, step),
  loadOptimizer: (files: string[]) => replica.loadOptimizer(files),
  resetOptimizer: () => replica.resetOptimizer(),
  close: async () => {
    await learner.close();
    setImmediate(() => parentPort!.close());
  },
};

/** Copies all weights for the caller and transfers the copy, so that no second copy is made. */
function buffersOf(tensors: readonly { readonly data: Float32Array<ArrayBuffer> }[]): ArrayBuffer[] {
  return tensors.map(({ data: { buffer } }) => buffer);
}

parentPort!.on("message", async ({ id, method, argument }: Call) => {
  try {
    const value = await methods[method]!(argument as never);
    parentPort!.postMessage(
      { id, value },
      method === "tensors" ? buffersOf(value as { data: Float32Array<ArrayBuffer> }[]) : [],
    );
  } catch (error) {
    parentPort!.postMessage({ id, fault: faultOf(error) });
  }
});
