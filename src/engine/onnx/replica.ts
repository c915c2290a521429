/**
 * @file One worker's copy of the policy: weights and gradients by pack, optimiser state for the packs it owns.
 * Workers meet once per optimiser step, through one shared buffer: every worker writes its gradients, each owner sums
 * its packs in worker order, updates them and writes the new weights, and all adopt them.
 */
import { join } from "node:path";
import { EngineError } from "../../base/errors.ts";
import { Arenas } from "../../runtime/arena.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import type { OptimSpec } from "../engine.ts";
import { type ModelConfig, type Pack, packs } from "../huggingface/model-config.ts";
import { openWeights, writeSafetensors } from "../huggingface/safetensors.ts";
import { splitByLoad } from "./micro-batch.ts";
import { createOptimizer, type Optimizer, type OwnedParameter } from "./optimizer/optimizer.ts";

export interface ReplicaPlace {
  readonly worker: number;
  readonly workers: number;
  readonly threads: number;
  /** False leaves out gradients and optimiser state: sampling and scoring only. */
  readonly training: boolean;
  /** (workers + 1) × parameters floats; absent with one worker. */
  readonly exchange?: SharedArrayBuffer;
}

interface Slot {
  readonly pack: Pack;
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly owned: boolean;
  /** Where the pack begins in the exchange, in floats. */
  readonly offset: number;
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

export function parameterCount(config: ModelConfig): number {
  return packs(config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

export class Replica {
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly gradients: ReadonlyMap<string, Tensor>;
  readonly #place: ReplicaPlace;
  readonly #slots: readonly Slot[];
  readonly #optimizer: Optimizer;
  readonly #parameters: number;

  constructor(config: ModelConfig, place: ReplicaPlace) {
    this.config = config;
    this.#place = place;
    this.#slots = allocate(config, place);
    this.#parameters = parameterCount(config);
    const tensors = (of: (slot: Slot) => Float32Array) =>
      new Map(
        this.#slots.map((slot): [string, Tensor] => [slot.pack.pack, { data: of(slot), shape: slot.pack.shape }]),
      );
    this.weights = tensors(({ weights }) => weights);
    this.gradients = tensors(({ gradient }) => gradient);
    this.#optimizer = createOptimizer(this.#slots.filter(({ owned }) => owned && place.training).flatMap(membersOf), {
      threads: place.threads,
    });
  }

  /** Reads a Hugging Face folder into the weights. */
  async loadWeights(directory: string): Promise<void> {
    const file = await openWeights(directory, this.config);
    try {
      for (const slot of this.#slots) {
        for (const { name, view } of memberViews(slot.pack, slot.weights)) await file.read(name, view);
      }
    } finally {
      await file.close();
    }
  }

  tensors(): { name: string; shape: readonly number[]; data: Float32Array }[] {
    return this.#slots.flatMap(({ pack, weights }) =>
      memberViews(pack, weights).map(({ name, shape, view }) => ({ name, shape, data: view })),
    );
  }

  /** Step 1 of an update: shows this worker's gradients to the others. */
  showGradients(): void {
    const { exchange, worker } = this.#place;
    if (!exchange) return;
    const mine = new Float32Array(exchange, worker * this.#parameters * 4, this.#parameters);
    for (const { gradient, offset } of this.#slots) mine.set(gradient, offset);
  }

  /** Step 2: sums owned gradients over workers, in worker order. @returns the sum of squares of the owned part */
  reduceGradients(): number {
    const { exchange, workers } = this.#place;
    if (exchange) {
      for (const { gradient, offset, owned } of this.#slots) {
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
      for (const { weights, offset, owned } of this.#slots) if (owned) shared.set(weights, offset);
    }
    return this.#optimizer.isFinite();
  }

  /** Of what is owned. */
  stateIsFinite(): boolean {
    return this.#optimizer.isFinite();
  }

  /** Step 4: takes over what other workers updated. */
  adoptWeights(): void {
    const { exchange, workers } = this.#place;
    if (!exchange) return;
    const shared = this.#shared(exchange, workers);
    for (const { weights, offset, owned } of this.#slots) {
      if (!owned) weights.set(shared.subarray(offset, offset + weights.length));
    }
  }

  clearGradients(): void {
    for (const { gradient } of this.#slots) gradient.fill(0);
  }

  /** True where every weight is finite. */
  isFinite(): boolean {
    return this.#slots.every(({ weights }) => {
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
    return new Float32Array(exchange, region * this.#parameters * 4, this.#parameters);
  }
}

function allocate(config: ModelConfig, { worker, workers, training }: ReplicaPlace): Slot[] {
  const all = packs(config);
  const sizes = all.map(({ shape }) => sizeOf(shape));
  const mine = new Set(splitByLoad(sizes, workers)[worker]);
  const groups = sizes.map((size, i) =>
    training ? [size, size, ...(mine.has(i) ? [size, size] : [0, 0])] : [size, 0, 0, 0],
  );
  const arenas = Arenas.create(groups);
  let offset = 0;
  return all.map((pack, i) => {
    const [weights, gradient, first, second] = arenas.views[i] as readonly [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const slot = { pack, weights, gradient, first, second, owned: mine.has(i), offset };
    offset += sizes[i]!;
    return slot;
  });
}

function memberViews(pack: Pack, data: Float32Array) {
  let at = 0;
  return pack.members.map(({ name, shape }) => {
    const view = data.subarray(at, at + sizeOf(shape));
    at += view.length;
    return { name, shape, view };
  });
}

function membersOf(slot: Slot): OwnedParameter[] {
  const [weights, gradient, first, second] = [slot.weights, slot.gradient, slot.first, slot.second].map((data) =>
    memberViews(slot.pack, data),
  ) as [
    ReturnType<typeof memberViews>,
    ReturnType<typeof memberViews>,
    ReturnType<typeof memberViews>,
    ReturnType<typeof memberViews>,
  ];
  return slot.pack.members.map(({ name, shape, role }, i) => ({
    name,
    shape,
    role,
    weights: weights[i]!.view,
    gradient: gradient[i]!.view,
    first: first[i]!.view,
    second: second[i]!.view,
  }));
}
