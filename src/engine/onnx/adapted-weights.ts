/** @file A model's matrices with an adapter's product added, kept beside the model's own matrices or in their place. */
import { randomOf } from "../../base/random.ts";
import { Arenas } from "../../runtime/arena.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import { type AdaptedPack, adaptedPacks } from "../huggingface/adapter-packs.ts";
import { type ModelConfig, sizeOf } from "../huggingface/model-config.ts";
import type { LoraPlace } from "../lora.ts";
import { createMerger, type Mergeable, type Merger } from "./merge.ts";
import { type ModelMemory, memberViews, type PackMemory } from "./pack-memory.ts";

export interface AdaptedOptions {
  readonly lora: LoraPlace;
  readonly threads: number;
  readonly training: boolean;
}

export class AdaptedWeights {
  /** Matrices that the graphs use instead of the model's packs; empty if the adapter is computed separately. */
  readonly merged: ReadonlyMap<string, Tensor>;
  /** Whether merging overwrites the model's own matrices, which nothing needs if nothing is trained. */
  readonly overwrites: boolean;
  readonly #adapted: readonly AdaptedPack[];
  readonly #memory: ReadonlyMap<string, PackMemory>;
  readonly #options: AdaptedOptions;
  #merger: Promise<Merger> | undefined;

  /** Fills the adapter: A as PEFT does it (Kaiming-uniform with a = √5: ± 1 / √in), B with 0, so that it changes nothing. */
  constructor(config: ModelConfig, { model, adapter }: ModelMemory, options: AdaptedOptions) {
    this.#options = options;
    const { lora, training } = options;
    this.#adapted = adaptedPacks(config, lora);
    this.#memory = new Map([...model, ...adapter].map((block) => [block.pack.pack, block]));
    this.overwrites = lora.merge && !training;
    this.merged = lora.merge && training ? this.#copies() : new Map();
    for (const { a } of this.#adapted) {
      for (const { name, shape, view } of memberViews(a, this.#of(a.pack).weights)) {
        const random = randomOf(lora.seed, "adapter", name);
        const bound = 1 / Math.sqrt(shape[1]!);
        for (let i = 0; i < view.length; i++) view[i] = bound * (2 * random.next() - 1);
      }
    }
  }

  /** Updates the merged matrices, if there are any. */
  async merge(): Promise<void> {
    if (!this.#options.lora.merge) return;
    await this.#mergeInto((pack) => (this.merged.get(pack)?.data ?? this.#of(pack).weights) as Float32Array);
  }

  /** By adapted pack; new arrays if none are kept. */
  async mergedTensors(): Promise<ReadonlyMap<string, Float32Array>> {
    const found = new Map(
      this.#adapted.map(({ pack }): [string, Float32Array] => {
        const kept = this.overwrites ? this.#of(pack).weights : (this.merged.get(pack)?.data as Float32Array);
        return [pack, kept ?? new Float32Array(this.#of(pack).weights.length)];
      }),
    );
    if (!this.#options.lora.merge) await this.#mergeInto((pack) => found.get(pack)!);
    return found;
  }

  #copies(): ReadonlyMap<string, Tensor> {
    const shapes = this.#adapted.map(({ pack }) => this.#of(pack).pack.shape);
    const { views } = Arenas.create(shapes.map((shape) => [sizeOf(shape)]));
    return new Map(this.#adapted.map(({ pack }, i) => [pack, { data: views[i]![0]!, shape: shapes[i]! }]));
  }

  #of(pack: string): PackMemory {
    return this.#memory.get(pack)!;
  }

  async #mergeInto(target: (pack: string) => Float32Array): Promise<void> {
    this.#merger ??= createMerger(this.#options.lora, this.#options.threads);
    const merger = await this.#merger;
    for (const adapted of this.#adapted) await merger.merge(this.#matrices(adapted, target(adapted.pack)));
  }

  /** Merges the adapted members of a pack into `target`; the others are copied if `target` is another array. */
  #matrices({ pack, a, b, blocks }: AdaptedPack, target: Float32Array): Mergeable[] {
    const block = this.#of(pack);
    const [as, bs] = [a, b].map((side) => memberViews(side, this.#of(side.pack).weights));
    const into = memberViews(block.pack, target);
    let next = 0;
    return memberViews(block.pack, block.weights).flatMap(({ shape, view }, i) => {
      if (blocks[i]!.isAdapted) {
        const at = next++;
        return [{ shape, weight: view, a: as![at]!.view, b: bs![at]!.view, into: into[i]!.view }];
      }
      if (target !== block.weights) into[i]!.view.set(view);
      return [];
    });
  }
}
