/**
 * @file One worker's copy of the policy: weights and gradients by pack, optimiser state for the packs it owns. With an
 * adapter the weights of the model stay as they were read, and packs of the adapter learn in their place.
 * Workers meet once per optimiser step, through one shared buffer: every worker writes its gradients, each owner sums
 * its packs in worker order, updates them and writes the new weights, and all workers copy them.
 */
import { join } from "node:path";
import { EngineError } from "../../base/errors.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import type { OptimSpec } from "../engine.ts";
import type { ModelConfig } from "../huggingface/model-config.ts";
import { openAdapterWeights } from "../huggingface/peft.ts";
import { type NamedTensor, openWeights, type WeightsFile, writeSafetensors } from "../huggingface/safetensors.ts";
import type { LoraPlace } from "../lora.ts";
import { AdaptedWeights } from "./adapted-weights.ts";
import { createOptimizer, type Optimizer } from "./optimizer/optimizer.ts";
import {
  allocatePacks,
  learningCount,
  type ModelMemory,
  membersOf,
  memberViews,
  type PackMemory,
} from "./pack-memory.ts";

export interface ReplicaPlace {
  readonly worker: number;
  readonly workers: number;
  readonly threads: number;
  /** False: no gradients and no optimiser state, only sampling and scoring. */
  readonly training: boolean;
  /** (workers + 1) × trained floats; absent with one worker. */
  readonly exchange?: SharedArrayBuffer;
  /** Absent if all weights are trained. */
  readonly lora?: LoraPlace | undefined;
}

export class Replica {
  readonly config: ModelConfig;
  /** Weights that the graphs use. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Those of the model without its adapter. */
  readonly base: ReadonlyMap<string, Tensor>;
  /** Gradients of trained packs. */
  readonly gradients: ReadonlyMap<string, Tensor>;
  readonly #place: ReplicaPlace;
  readonly #memory: ModelMemory;
  readonly #adapted: AdaptedWeights | undefined;
  readonly #optimizer: Optimizer;
  readonly #learning: number;
  #directory = "";
  /** False while B is 0, so that there is nothing to merge. */
  #hasAdapter = false;

  constructor(config: ModelConfig, place: ReplicaPlace) {
    this.config = config;
    this.#place = place;
    this.#memory = allocatePacks(config, place);
    this.#learning = learningCount(config, place.lora);
    const { model, adapter, learning } = this.#memory;
    this.base = tensorsOf(model, ({ weights }) => weights);
    this.#adapted = place.lora && new AdaptedWeights(config, this.#memory, { ...place, lora: place.lora });
    this.weights = new Map([
      ...this.base,
      ...(this.#adapted?.merged ?? []),
      ...tensorsOf(adapter, ({ weights }) => weights),
    ]);
    this.gradients = tensorsOf(learning, ({ gradient }) => gradient);
    this.#optimizer = createOptimizer(learning.filter(({ owned }) => owned && place.training).flatMap(membersOf), {
      threads: place.threads,
    });
  }

  /** Reads a Hugging Face folder into the weights. */
  async loadWeights(directory: string): Promise<void> {
    this.#directory = directory;
    await readInto(this.#memory.model, await openWeights(directory, this.config));
    if (this.#hasAdapter || !this.#adapted?.overwrites) await this.#adapted?.merge();
  }

  /** Reads the adapter of a PEFT folder over what is loaded. */
  async loadAdapter(directory: string): Promise<void> {
    const { lora } = this.#place;
    if (!lora) throw new Error("an adapter was given to an engine without one");
    const file = await openAdapterWeights(directory, this.config, lora);
    await readInto(this.#memory.adapter, file);
    if (this.#hasAdapter && this.#adapted?.overwrites)
      await readInto(this.#memory.model, await openWeights(this.#directory, this.config));
    this.#hasAdapter = true;
    await this.#adapted?.merge();
  }

  /** All tensors of the policy, with its adapter merged; views of the weights if nothing had to be computed. */
  async tensors(): Promise<NamedTensor[]> {
    const merged = await this.#adapted?.mergedTensors();
    return namedTensors(this.#memory.model, ({ pack, weights }) => merged?.get(pack.pack) ?? weights);
  }

  /** Views of the adapter's weights, with PEFT's names. */
  adapterTensors(): NamedTensor[] {
    return namedTensors(this.#memory.adapter, ({ weights }) => weights);
  }

  /** Step 1 of an update: writes this worker's gradients into the shared buffer. */
  showGradients(): void {
    const { exchange, worker } = this.#place;
    if (!exchange) return;
    const mine = new Float32Array(exchange, worker * this.#learning * 4, this.#learning);
    for (const { gradient, offset } of this.#memory.learning) mine.set(gradient, offset);
  }

  /** Step 2: sums owned gradients over workers, in worker order. @returns the sum of squares of the owned part */
  reduceGradients(): number {
    const { exchange, workers } = this.#place;
    if (exchange) {
      for (const { gradient, offset, owned } of this.#memory.learning) {
        if (!owned) continue;
        gradient.set(this.#shared(exchange, 0).subarray(offset, offset + gradient.length));
        for (let worker = 1; worker < workers; worker++) {
          const other = this.#shared(exchange, worker);
          for (let i = 0; i < gradient.length; i++) gradient[i]! += other[offset + i]!;
        }
      }
    }
    return this.#optimizer.gradientSquares();
  }

  /** Step 3: updates owned packs and writes their new weights into the shared buffer. @returns false if any number is not finite */
  async applyUpdate(spec: OptimSpec, step: number, gradScale: number): Promise<boolean> {
    await this.#optimizer.apply(spec, { step, gradScale });
    const { exchange, workers } = this.#place;
    if (exchange) {
      const shared = this.#shared(exchange, workers);
      for (const { weights, offset, owned } of this.#memory.learning) if (owned) shared.set(weights, offset);
    }
    return this.#optimizer.isFinite();
  }

  /** The optimiser of the packs that this worker owns. */
  stateIsFinite(): boolean {
    return this.#optimizer.isFinite();
  }

  /** Step 4: copies the packs that other workers updated, and merges the adapter. */
  async adoptWeights(): Promise<void> {
    const { exchange, workers } = this.#place;
    if (exchange) {
      const shared = this.#shared(exchange, workers);
      for (const { weights, offset, owned } of this.#memory.learning) {
        if (!owned) weights.set(shared.subarray(offset, offset + weights.length));
      }
    }
    await this.#adapted?.merge();
  }

  clearGradients(): void {
    for (const { gradient } of this.#memory.learning) gradient.fill(0);
  }

  /** True where every weight is finite. */
  isFinite(): boolean {
    return [...this.#memory.model, ...this.#memory.adapter].every(({ weights }) => {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i]! * 0; // NaN or Infinity times 0 is NaN
      return sum === 0;
    });
  }

  /** Writes the optimiser state of owned parameters; the files of all workers together hold the whole state. */
  saveOptimizer(directory: string, step: number): void {
    const tensors = this.#optimizer.state().flatMap(({ name, first, second }) => [
      { name: `first.${name}`, shape: [first.length], data: first },
      { name: `second.${name}`, shape: [second.length], data: second },
    ]);
    if (tensors.length === 0) return;
    writeSafetensors(join(directory, `optimizer-${this.#place.worker}.safetensors`), tensors, {
      step: String(step),
      kind: this.#optimizer.stateKind() ?? "none",
    });
  }

  /** Reads the owned part of the state from the files of any number of workers. @returns its step */
  async loadOptimizer(files: readonly string[]): Promise<number> {
    const wanted = new Map<string, Float32Array>(
      this.#optimizer
        .state()
        .flatMap(({ name, first, second }) => [[`first.${name}`, first] as const, [`second.${name}`, second] as const]),
    );
    let step = 0;
    let kind = "none";
    for (const file of files) {
      const opened = await openWeights(file);
      try {
        for (const name of opened.names) {
          const view = wanted.get(name);
          if (view) await opened.read(name, view);
          wanted.delete(name);
        }
        step = Number(opened.metadata["step"] ?? Number.NaN);
        kind = opened.metadata["kind"] ?? "none";
      } finally {
        await opened.close();
      }
    }
    if (wanted.size > 0) throw new EngineError(`optimiser state lacks ${[...wanted.keys()][0]}`);
    if (!Number.isSafeInteger(step)) throw new EngineError(`${files.at(-1)}: its metadata names no step`);
    if (kind === "adamw" || kind === "muon") this.#optimizer.restored(kind);
    return step;
  }

  resetOptimizer(): void {
    this.#optimizer.reset();
  }

  #shared(exchange: SharedArrayBuffer, region: number): Float32Array {
    return new Float32Array(exchange, region * this.#learning * 4, this.#learning);
  }
}

function tensorsOf(blocks: readonly PackMemory[], of: (block: PackMemory) => Float32Array): Map<string, Tensor> {
  return new Map(blocks.map((block) => [block.pack.pack, { data: of(block), shape: block.pack.shape }]));
}

/** The tensors of all packs, as views of their numbers. */
function namedTensors(blocks: readonly PackMemory[], of: (block: PackMemory) => Float32Array): NamedTensor[] {
  return blocks.flatMap((block) =>
    memberViews(block.pack, of(block)).map(({ name, shape, view }) => ({ name, shape, data: view })),
  );
}

async function readInto(blocks: readonly PackMemory[], file: WeightsFile): Promise<void> {
  try {
    for (const block of blocks) {
      for (const { name, view } of memberViews(block.pack, block.weights)) await file.read(name, view);
    }
  } finally {
    await file.close();
  }
}
