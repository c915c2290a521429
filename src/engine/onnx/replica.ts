/**
 * @file One worker's copy of the policy: weights and gradients by pack, optimiser state for the packs it owns. With an
 * adapter the weights of the model stay as they were read, and packs of the adapter learn in their place.
 * Workers meet once per optimiser step, through one shared buffer: every worker writes its gradients, each owner sums
 * its packs in worker order, updates them and writes the new weights, and all adopt them.
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
import { allocateSlots, learningCount, membersOf, memberViews, type Slot, type Slots } from "./slots.ts";

export interface ReplicaPlace {
  readonly worker: number;
  readonly workers: number;
  readonly threads: number;
  /** False leaves out gradients and optimiser state: sampling and scoring only. */
  readonly training: boolean;
  /** (workers + 1) × floats that learn; absent with one worker. */
  readonly exchange?: SharedArrayBuffer;
  /** Absent where all weights learn. */
  readonly lora?: LoraPlace | undefined;
}

export class Replica {
  readonly config: ModelConfig;
  /** What the graphs compute with. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Those of the model without its adapter. */
  readonly base: ReadonlyMap<string, Tensor>;
  /** Of what learns. */
  readonly gradients: ReadonlyMap<string, Tensor>;
  readonly #place: ReplicaPlace;
  readonly #slots: Slots;
  readonly #adapted: AdaptedWeights | undefined;
  readonly #optimizer: Optimizer;
  readonly #learning: number;
  #directory = "";
  /** False while B is 0, so that there is nothing to merge. */
  #hasAdapter = false;

  constructor(config: ModelConfig, place: ReplicaPlace) {
    this.config = config;
    this.#place = place;
    this.#slots = allocateSlots(config, place);
    this.#learning = learningCount(config, place.lora);
    const { model, adapter, learning } = this.#slots;
    this.base = tensorsOf(model, ({ weights }) => weights);
    this.#adapted = place.lora && new AdaptedWeights(config, this.#slots, { ...place, lora: place.lora });
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
    await readInto(this.#slots.model, await openWeights(directory, this.config));
    if (this.#hasAdapter || !this.#adapted?.overwrites) await this.#adapted?.merge();
  }

  /** Reads the adapter of a PEFT folder over what is loaded. */
  async loadAdapter(directory: string): Promise<void> {
    const { lora } = this.#place;
    if (!lora) throw new Error("an adapter was given to an engine without one");
    const file = await openAdapterWeights(directory, this.config, lora);
    await readInto(this.#slots.adapter, file);
    if (this.#hasAdapter && this.#adapted?.overwrites)
      await readInto(this.#slots.model, await openWeights(this.#directory, this.config));
    this.#hasAdapter = true;
    await this.#adapted?.merge();
  }

  /** Of the whole policy, its adapter merged; live views where nothing had to be computed. */
  async tensors(): Promise<NamedTensor[]> {
    const merged = await this.#adapted?.mergedTensors();
    return namedTensors(this.#slots.model, ({ pack, weights }) => merged?.get(pack.pack) ?? weights);
  }

  /** Live views, named as PEFT names them. */
  adapterTensors(): NamedTensor[] {
    return namedTensors(this.#slots.adapter, ({ weights }) => weights);
  }

  /** Step 1 of an update: shows this worker's gradients to the others. */
  showGradients(): void {
    const { exchange, worker } = this.#place;
    if (!exchange) return;
    const mine = new Float32Array(exchange, worker * this.#learning * 4, this.#learning);
    for (const { gradient, offset } of this.#slots.learning) mine.set(gradient, offset);
  }

  /** Step 2: sums owned gradients over workers, in worker order. @returns the sum of squares of the owned part */
  reduceGradients(): number {
    const { exchange, workers } = this.#place;
    if (exchange) {
      for (const { gradient, offset, owned } of this.#slots.learning) {
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

  /** Step 3: updates owned packs and shows the new weights. @returns false where they or their state are not finite */
  async applyUpdate(spec: OptimSpec, step: number, gradScale: number): Promise<boolean> {
    await this.#optimizer.apply(spec, { step, gradScale });
    const { exchange, workers } = this.#place;
    if (exchange) {
      const shared = this.#shared(exchange, workers);
      for (const { weights, offset, owned } of this.#slots.learning) if (owned) shared.set(weights, offset);
    }
    return this.#optimizer.isFinite();
  }

  /** Of what is owned. */
  stateIsFinite(): boolean {
    return this.#optimizer.isFinite();
  }

  /** Step 4: takes over what other workers updated, and merges what all did. */
  async adoptWeights(): Promise<void> {
    const { exchange, workers } = this.#place;
    if (exchange) {
      const shared = this.#shared(exchange, workers);
      for (const { weights, offset, owned } of this.#slots.learning) {
        if (!owned) weights.set(shared.subarray(offset, offset + weights.length));
      }
    }
    await this.#adapted?.merge();
  }

  clearGradients(): void {
    for (const { gradient } of this.#slots.learning) gradient.fill(0);
  }

  /** True where every weight is finite. */
  isFinite(): boolean {
    return [...this.#slots.model, ...this.#slots.adapter].every(({ weights }) => {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i]! * 0; // NaN or Infinity times 0 is NaN
      return sum === 0;
    });
  }

  /** Writes the state of owned parameters; together the workers' files hold all of it, whatever their number. */
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

  /** Fills owned state from the files of any number of workers. @returns the step it belongs to */
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

function tensorsOf(slots: readonly Slot[], of: (slot: Slot) => Float32Array): Map<string, Tensor> {
  return new Map(slots.map((slot) => [slot.pack.pack, { data: of(slot), shape: slot.pack.shape }]));
}

/** The tensors of all packs, as views of their numbers. */
function namedTensors(slots: readonly Slot[], of: (slot: Slot) => Float32Array): NamedTensor[] {
  return slots.flatMap((slot) =>
    memberViews(slot.pack, of(slot)).map(({ name, shape, view }) => ({ name, shape, data: view })),
  );
}

async function readInto(slots: readonly Slot[], file: WeightsFile): Promise<void> {
  try {
    for (const slot of slots) {
      for (const { name, view } of memberViews(slot.pack, slot.weights)) await file.read(name, view);
    }
  } finally {
    await file.close();
  }
}
