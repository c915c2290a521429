/** @file A model folder with an adapter's product added, read tensor by tensor, as if it were one folder of weights. */
import { peftName } from "../huggingface/adapter-packs.ts";
import type { ModelConfig } from "../huggingface/model-config.ts";
import { openAdapterWeights, readAdapterConfig } from "../huggingface/peft.ts";
import { openWeights, type WeightsFile } from "../huggingface/safetensors.ts";
import { createMerger } from "./merge.ts";

/**
 * @param adapter a PEFT folder
 * @throws EngineError naming file and tensor where one is not of this model
 */
export async function openMergedWeights(
  { directory, adapter }: { readonly directory: string; readonly adapter: string },
  config: ModelConfig,
): Promise<WeightsFile> {
  const lora = readAdapterConfig(adapter);
  const low = await openAdapterWeights(adapter, config, lora);
  const base = await openWeights(directory, config).catch(async (error: unknown) => {
    await low.close();
    throw error;
  });
  const merger = await createMerger(lora, 1);
  const isAdapted = new Set(low.names);
  return {
    ...base,
    async read(name, into) {
      await base.read(name, into);
      const [nameA, nameB] = [peftName(name, "A"), peftName(name, "B")];
      if (!isAdapted.has(nameA)) return;
      const shape = base.shape(name);
      const [a, b] = [new Float32Array(lora.rank * shape[1]!), new Float32Array(lora.rank * shape[0]!)];
      await low.read(nameA, a);
      await low.read(nameB, b);
      await merger.merge([{ shape, weight: into, a, b, into }]);
    },
    async close() {
      await merger.release();
      await low.close();
      await base.close();
    },
  };
}
