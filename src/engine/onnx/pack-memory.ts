/** @file The memory of one worker: a block for each pack of weights, with gradients and optimiser state for trained packs. */
import { Arenas } from "../../runtime/arena.ts";
import { adaptedPacks } from "../huggingface/adapter-packs.ts";
import { type ModelConfig, type Pack, packs, sizeOf } from "../huggingface/model-config.ts";
import type { LoraShape } from "../lora.ts";
import { splitByLoad } from "./micro-batch.ts";
import type { OwnedParameter } from "./optimizer/optimizer.ts";

export interface PackMemory {
  readonly pack: Pack;
  readonly weights: Float32Array;
  /** As long as the weights if the pack is trained, else empty. The optimiser state is also empty if another worker owns the pack. */
  readonly gradient: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly owned: boolean;
  /** Where the pack begins in the exchange, in floats. */
  readonly offset: number;
}

export interface ModelMemory {
  readonly model: readonly PackMemory[];
  /** Empty without an adapter. */
  readonly adapter: readonly PackMemory[];
  /** Those of the two that are trained. */
  readonly learning: readonly PackMemory[];
}

/** Number of trained parameters: those of the adapter, if there is one. */
export function learningCount(config: ModelConfig, lora: LoraShape | undefined): number {
  return learningPacks(config, lora).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

function learningPacks(config: ModelConfig, lora: LoraShape | undefined): Pack[] {
  return lora ? adaptedPacks(config, lora).flatMap(({ a, b }) => [a, b]) : packs(config);
}

export interface PackMemoryOptions {
  readonly worker: number;
  readonly workers: number;
  /** False leaves out gradients and optimiser state. */
  readonly training: boolean;
  readonly lora?: LoraShape | undefined;
}

export function allocatePacks(
  config: ModelConfig,
  { worker, workers, training, lora }: PackMemoryOptions,
): ModelMemory {
  const learning = learningPacks(config, lora);
  const sizes = learning.map(({ shape }) => sizeOf(shape));
  const mine = new Set(splitByLoad(sizes, workers)[worker]);
  const frozen = lora ? packs(config) : [];
  const arenas = Arenas.create([
    ...frozen.map(({ shape }) => [sizeOf(shape), 0, 0, 0]),
    ...sizes.map((size, i) => (training ? [size, size, ...(mine.has(i) ? [size, size] : [0, 0])] : [size, 0, 0, 0])),
  ]);
  let offset = 0;
  const blocks = [...frozen, ...learning].map((pack, i): PackMemory => {
    const [weights, gradient, first, second] = arenas.views[i] as readonly [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const learns = i >= frozen.length;
    const block = { pack, weights, gradient, first, second, owned: learns && mine.has(i - frozen.length), offset };
    if (learns) offset += weights.length;
    return block;
  });
  const learners = blocks.slice(frozen.length);
  return lora
    ? { model: blocks.slice(0, frozen.length), adapter: learners, learning: learners }
    : { model: blocks, adapter: [], learning: blocks };
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
export function membersOf(block: PackMemory): OwnedParameter[] {
  const [weights, gradient, first, second] = [block.weights, block.gradient, block.first, block.second].map((data) =>
    memberViews(block.pack, data),
  ) as [
    ReturnType<typeof memberViews>,
    ReturnType<typeof memberViews>,
    ReturnType<typeof memberViews>,
    ReturnType<typeof memberViews>,
  ];
  return block.pack.members.map(({ name, shape, role }, i) => ({
    name,
    shape,
    role,
    weights: weights[i]!.view,
    gradient: gradient[i]!.view,
    first: first[i]!.view,
    second: second[i]!.view,
  }));
}
