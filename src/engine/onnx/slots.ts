/** @file The memory of one worker: a slot for each pack, with gradients and optimiser state for those that learn. */
import { Arenas } from "../../runtime/arena.ts";
import { adaptedPacks } from "../huggingface/adapter-packs.ts";
import { type ModelConfig, type Pack, packs, sizeOf } from "../huggingface/model-config.ts";
import type { LoraShape } from "../lora.ts";
import { splitByLoad } from "./micro-batch.ts";
import type { OwnedParameter } from "./optimizer/optimizer.ts";

export interface Slot {
  readonly pack: Pack;
  readonly weights: Float32Array;
  /** As long as the weights where the pack learns, else empty; so is the state of a pack that another worker owns. */
  readonly gradient: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly owned: boolean;
  /** Where the pack begins in the exchange, in floats. */
  readonly offset: number;
}

export interface Slots {
  readonly model: readonly Slot[];
  /** Empty without an adapter. */
  readonly adapter: readonly Slot[];
  /** Those of the two whose numbers change in training. */
  readonly learning: readonly Slot[];
}

/** How many numbers learn: those of the adapter, where there is one. */
export function learningCount(config: ModelConfig, lora: LoraShape | undefined): number {
  return learningPacks(config, lora).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

function learningPacks(config: ModelConfig, lora: LoraShape | undefined): Pack[] {
  return lora ? adaptedPacks(config, lora).flatMap(({ a, b }) => [a, b]) : packs(config);
}

export interface SlotsOptions {
  readonly worker: number;
  readonly workers: number;
  /** False leaves out gradients and optimiser state. */
  readonly training: boolean;
  readonly lora?: LoraShape | undefined;
}

export function allocateSlots(config: ModelConfig, { worker, workers, training, lora }: SlotsOptions): Slots {
  const learning = learningPacks(config, lora);
  const sizes = learning.map(({ shape }) => sizeOf(shape));
  const mine = new Set(splitByLoad(sizes, workers)[worker]);
  const frozen = lora ? packs(config) : [];
  const arenas = Arenas.create([
    ...frozen.map(({ shape }) => [sizeOf(shape), 0, 0, 0]),
    ...sizes.map((size, i) => (training ? [size, size, ...(mine.has(i) ? [size, size] : [0, 0])] : [size, 0, 0, 0])),
  ]);
  let offset = 0;
  const slots = [...frozen, ...learning].map((pack, i): Slot => {
    const [weights, gradient, first, second] = arenas.views[i] as readonly [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const learns = i >= frozen.length;
    const slot = { pack, weights, gradient, first, second, owned: learns && mine.has(i - frozen.length), offset };
    if (learns) offset += weights.length;
    return slot;
  });
  const learners = slots.slice(frozen.length);
  return lora
    ? { model: slots.slice(0, frozen.length), adapter: learners, learning: learners }
    : { model: slots, adapter: [], learning: slots };
}

/** The tensors of a pack as views of its numbers. */
export function memberViews(pack: Pack, data: Float32Array) {
  let at = 0;
  return pack.members.map(({ name, shape }) => {
    const view = data.subarray(at, at + sizeOf(shape));
    at += view.length;
    return { name, shape, view };
  });
}

/** What the optimiser needs to know of a pack. */
export function membersOf(slot: Slot): OwnedParameter[] {
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
