/** @file A model with a random adapter that is not zero, its product apart and added. */
import { randomOf } from "../../base/random.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import { adaptedPacks } from "../huggingface/adapter-packs.ts";
import { type ModelConfig, type Pack, packs, sizeOf } from "../huggingface/model-config.ts";
import type { LoraShape } from "../lora.ts";
import { createMerger } from "../onnx/merge.ts";
import { memberViews } from "../onnx/pack-memory.ts";

export interface AdaptedModel {
  readonly lora: LoraShape;
  /** A and B, by pack. */
  readonly adapter: ReadonlyMap<string, Tensor>;
  /** The packs of the model that are adapted, with the product added. */
  readonly merged: ReadonlyMap<string, Tensor>;
}

export async function adaptModel(
  config: ModelConfig,
  weights: ReadonlyMap<string, Tensor>,
  lora: LoraShape,
): Promise<AdaptedModel> {
  const random = randomOf("adapted model");
  const adapter = new Map<string, Tensor>();
  const merged = new Map<string, Tensor>();
  const merger = await createMerger(lora, 1);
  for (const { pack, a, b, blocks } of adaptedPacks(config, lora)) {
    for (const side of [a, b]) {
      const scale = 1 / Math.sqrt(side.shape[1]!);
      const data = Float32Array.from({ length: sizeOf(side.shape) }, () => 0.3 * scale * random.normal());
      adapter.set(side.pack, { data, shape: side.shape });
    }
    const whole = packs(config).find((one) => one.pack === pack)!;
    const data = (weights.get(pack)!.data as Float32Array).slice();
    merged.set(pack, { data, shape: whole.shape });
    const views = (of: Pack) => memberViews(of, adapter.get(of.pack)!.data as Float32Array);
    const adapted = memberViews(whole, data).filter((_, i) => blocks[i]!.isAdapted);
    await merger.merge(
      adapted.map(({ shape, view }, i) => ({
        ...{ shape, weight: view, into: view },
        ...{ a: views(a)[i]!.view, b: views(b)[i]!.view },
      })),
    );
  }
  await merger.release();
  return { lora, adapter, merged };
}
