/** @file The embedded engine: workers that sample and learn on this machine's processor, behind `Learner` and `Sampler`. */
import { setMaxListeners } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import pLimit from "p-limit";
import { EngineError } from "../../base/errors.ts";
import { type RemoteWorker, startWorker } from "../../runtime/worker-pool.ts";
import type {
  EngineCapabilities,
  Learner,
  LossReport,
  LossSpec,
  OptimReport,
  OptimSpec,
  Sampler,
  TrainingSequence,
} from "../engine.ts";
import type { NamedTensor } from "../huggingface/safetensors.ts";
import { sequenceLoss } from "../loss.ts";
import { onnxCapabilities } from "./capabilities.ts";
import { gather, splitByLoad } from "./micro-batch.ts";
import type { OnnxEngineOptions } from "./options.ts";
import { learningCount } from "./pack-memory.ts";
import type { WrittenSample } from "./sampler/cached-sequence.ts";
import { SequenceWorkers } from "./sequence-workers.ts";
import { splitSiblings } from "./shared-prompts.ts";
import type { SampleJob } from "./worker.ts";
import { workerData } from "./worker-data.ts";

export class OnnxEngine implements Learner {
  readonly capabilities: EngineCapabilities;
  readonly #options: OnnxEngineOptions;
  readonly #workers: readonly RemoteWorker[];
  /** Calls that read or change the weights run one after the other, in call order. */
  readonly #inOrder = pLimit(1);
  readonly #sequences: SequenceWorkers;
  #version = 0;
  #step = 0;
  /** Whether every loss since the last optimiser step was finite. */
  #lossIsFinite = true;
  #tickets = 0;

  constructor(options: OnnxEngineOptions) {
    this.#options = options;
    this.#sequences = new SequenceWorkers(options.workers);
    const { workers, lora, contextLength, config, maxSequences } = options;
    this.capabilities = {
      ...onnxCapabilities,
      trains: options.training ? [lora ? "adapter" : "weights"] : [],
      contextLength: Math.min(contextLength, config.contextLength),
      concurrency: workers * maxSequences,
    };
    const exchange =
      workers > 1 && options.training
        ? new SharedArrayBuffer((workers + 1) * learningCount(options.config, options.lora) * 4)
        : undefined;
    this.#workers = Array.from({ length: workers }, (_, worker) =>
      startWorker(new URL("./worker", import.meta.url), workerData(options, worker, exchange)),
    );
  }

  /** Number of optimiser steps so far. */
  get optimizerStep(): number {
    return this.#step;
  }

  forwardBackward(batch: readonly TrainingSequence[], loss: LossSpec): Promise<LossReport> {
    return this.#inOrder(() => this.#forwardBackward(batch, loss));
  }

  async #forwardBackward(batch: readonly TrainingSequence[], loss: LossSpec): Promise<LossReport> {
    const shares = splitSiblings(batch, this.#workers.length);
    const results = await Promise.all(
      this.#workers.map((worker, i) =>
        worker.call<Float32Array[]>("forwardBackward", { batch: shares[i]!.map((index) => batch[index]), loss }),
      ),
    );
    const logprobs = gather(shares, results, batch.length);
    let sum = 0;
    for (const [i, sequence] of batch.entries()) sum += sequenceLoss(loss, sequence, logprobs[i]!);
    if (!Number.isFinite(sum)) this.#lossIsFinite = false;
    return { loss: sum, logprobs };
  }

  optimStep(spec: OptimSpec): Promise<OptimReport> {
    return this.#inOrder(() => this.#optimStep(spec));
  }

  async #optimStep(spec: OptimSpec): Promise<OptimReport> {
    checkSpec(spec);
    await this.#all("showGradients");
    const squares = await this.#all<number>("reduceGradients");
    const gradNorm = Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
    const gradScale = spec.maxGradNorm > 0 && gradNorm > spec.maxGradNorm ? spec.maxGradNorm / gradNorm : 1;
    if (!this.#lossIsFinite || !fitsSquared(gradNorm * gradScale)) {
      await this.#clearGradients();
      return { gradNorm, applied: false };
    }
    const step = this.#step + 1;
    const finite = await this.#all<boolean>("applyUpdate", { spec, step, gradScale });
    this.#step = step;
    await this.#all("adoptWeights"); // and clears the gradients
    if (finite.every(Boolean)) return { gradNorm, applied: true };
    throw new EngineError(
      `update ${this.#step} (learning rate ${spec.learningRate}, gradient norm ${gradNorm}) made numbers that are not finite`,
      { hint: "lower optimizer.learningRate; the last good checkpoint is kept" },
    );
  }

  logprobs(batch: readonly Int32Array[]): Promise<readonly Float32Array[]> {
    return this.#inOrder(() => this.#score("logprobs", batch));
  }

  /** The model without its adapter. It never changes, so it is a reference policy without a second copy of the weights. */
  get base(): Pick<Learner, "logprobs"> {
    return { logprobs: (batch) => this.#inOrder(() => this.#score("baseLogprobs", batch)) };
  }

  async #score(method: "logprobs" | "baseLogprobs", batch: readonly Int32Array[]): Promise<readonly Float32Array[]> {
    const shares = splitByLoad(
      batch.map(({ length }) => length),
      this.#workers.length,
    );
    const results = await Promise.all(
      this.#workers.map((worker, i) =>
        worker.call<Float32Array[]>(
          method,
          shares[i]!.map((index) => batch[index]),
        ),
      ),
    );
    return gather(shares, results, batch.length);
  }

  publish(): Promise<Sampler> {
    return this.#inOrder(() => this.#publish());
  }

  async #publish(): Promise<Sampler> {
    await this.#all("release");
    this.#sequences.clear();
    const policyVersion = ++this.#version;
    return {
      policyVersion,
      contextLength: this.capabilities.contextLength,
      sample: async (request, signal) => {
        signal?.throwIfAborted();
        if (policyVersion !== this.#version) {
          throw new EngineError(
            `a sampler of version ${policyVersion} was asked after version ${this.#version} was published`,
          );
        }
        const job = { request, ticket: this.#tickets++ };
        const sample = await sampleOn(this.#workers[this.#sequences.workerOf(request.key)]!, job, signal);
        return { ...sample, policyVersion };
      },
      finished: (key) => {
        if (policyVersion !== this.#version) return;
        const worker = this.#sequences.finished(key);
        if (worker === undefined) return;
        this.#workers[worker]!.call("finished", key).catch(() => {}); // a worker that died has no cache
      },
    };
  }

  /** An adapter is saved without the model below it. */
  save(directory: string): Promise<void> {
    return this.#inOrder(() => this.#save(directory));
  }

  async #save(directory: string): Promise<void> {
    const { lora, training } = this.#options;
    const write = await (lora ? this.#adapterWriter(directory) : this.#policyWriter(directory));
    if (!training) return write();
    await this.#demandFinite("stateIsFinite", "the optimiser state is not finite; it is not saved");
    // workers write their state while this thread writes the policy
    const saving = this.#all("saveOptimizer", { directory, step: this.#step });
    const writing = (async () => write())();
    for (const outcome of await Promise.allSettled([writing, saving]))
      if (outcome.status === "rejected") throw outcome.reason;
  }

  /** Saves the policy without optimiser state, with the adapter merged into it: for use, not for continuing a run. */
  savePolicy(directory: string): Promise<void> {
    return this.#inOrder(async () => (await this.#policyWriter(directory))());
  }

  load(directory: string): Promise<void> {
    return this.#inOrder(() => this.#load(directory));
  }

  async #load(directory: string): Promise<void> {
    await this.#adopt(this.#options.lora ? "loadAdapter" : "loadWeights", directory);
    if (!this.#options.training) return;
    const files = readdirSync(directory)
      .filter((name) => /^optimizer-\d+\.safetensors$/.test(name))
      .sort()
      .map((name) => join(directory, name));
    if (files.length > 0) this.#step = (await this.#all<number>("loadOptimizer", files))[0]!;
    await this.#demandFinite("stateIsFinite", `${directory} holds an optimiser state that is not finite`);
  }

  /** Loads only the weights; the optimiser state is reset, because a new run begins. */
  loadPolicy(directory: string): Promise<void> {
    return this.#inOrder(() => this.#adopt("loadWeights", directory));
  }

  /** Loads another adapter for the same model. */
  loadAdapter(directory: string): Promise<void> {
    return this.#inOrder(() => this.#adopt("loadAdapter", directory));
  }

  async #adopt(method: "loadWeights" | "loadAdapter", directory: string): Promise<void> {
    await this.#all(method, directory);
    await this.#demandFinite("isFinite", `${directory} holds weights that are not finite`);
    if (this.#options.training) await this.#resetOptimizer();
    await this.#clearGradients();
  }

  /** Sets the optimiser state to zero, for a new stage of pretraining or another kind of optimiser. */
  resetOptimizer(): Promise<void> {
    return this.#inOrder(() => this.#resetOptimizer());
  }

  async #resetOptimizer(): Promise<void> {
    await this.#all("resetOptimizer");
    this.#step = 0;
  }

  async close(): Promise<void> {
    await this.#inOrder(() => Promise.all(this.#workers.map((worker) => worker.close())));
  }

  async #policyWriter(directory: string): Promise<() => Promise<void> | void> {
    await this.#demandFinite("isFinite", "the policy holds weights that are not finite; it is not saved");
    const tensors = await this.#workers[0]!.call<NamedTensor[]>("tensors");
    return () => this.#options.writePolicy(directory, tensors);
  }

  async #adapterWriter(directory: string): Promise<() => Promise<void> | void> {
    const { writeAdapter } = this.#options;
    if (!writeAdapter) throw new Error("an engine with an adapter was made without a way to write it");
    await this.#demandFinite("isFinite", "the adapter holds numbers that are not finite; it is not saved");
    const tensors = await this.#workers[0]!.call<NamedTensor[]>("adapterTensors");
    return () => writeAdapter(directory, tensors);
  }

  async #demandFinite(method: "isFinite" | "stateIsFinite", complaint: string): Promise<void> {
    if ((await this.#all<boolean>(method)).every(Boolean)) return;
    throw new EngineError(complaint, { hint: "training had gone wrong there; go on from what was saved before" });
  }

  async #clearGradients(): Promise<void> {
    await this.#all("clearGradients");
    this.#lossIsFinite = true;
  }

  #all<Result>(method: string, argument?: unknown): Promise<Result[]> {
    return Promise.all(this.#workers.map((worker) => worker.call<Result>(method, argument)));
  }
}

/** AdamW squares gradients in f32. If a square overflowed, the state would be infinite and the weight would never change again. */
function fitsSquared(norm: number): boolean {
  return Number.isFinite(Math.fround(norm * norm));
}

function checkSpec(spec: OptimSpec): void {
  for (const [key, value] of Object.entries(spec)) {
    if (typeof value === "number" && !Number.isFinite(value)) throw new EngineError(`optimizer.${key} is ${value}`);
  }
}

/** Rejects with the signal's reason as soon as it is raised; the worker frees the slot before the next token. */
function sampleOn(worker: RemoteWorker, job: SampleJob, signal: AbortSignal | undefined): Promise<WrittenSample> {
  const sampled = worker.call<WrittenSample>("sample", job);
  if (!signal) return sampled;
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      worker.call("cancel", job.ticket).catch(() => {}); // a worker that died samples no more
    };
    setMaxListeners(0, signal); // all attempts of a rollout share one signal: Node would warn of a leak
    signal.addEventListener("abort", abort, { once: true });
    void sampled.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
