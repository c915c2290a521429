import { existsSync } from "node:fs";
import { join } from "node:path";
import { readModelConfig } from "../../engine/huggingface/model-config.ts";
import { parameterCount } from "../../engine/huggingface/model-size.ts";
import { openWeights } from "../../engine/huggingface/safetensors.ts";
import { checkTokenizer, loadTokenizer } from "../../engine/huggingface/tokenizer.ts";
import { layoutFor } from "../engines/layout.ts";
import { type MemoryPlan, type PlanAssumptions, planMemory } from "../engines/memory-plan.ts";
import { predictSpeed, type SpeedPlan } from "./predict-speed.ts";

export interface ModelInfo {
  readonly directory: string;
  readonly architecture: string;
  readonly family: string;
  readonly parameters: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffnWidth: number;
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly tiedHead: boolean;
  /** False: the folder can score tokens but not sample. */
  readonly tokenizer: boolean;
  readonly chatTemplate: boolean;
  /** Predicted bytes of sampling alone, of training an adapter, and of training all weights. */
  readonly memory: MemoryPlan;
  /** Predicted by sampling and learning for some seconds with a reduced model. */
  readonly tokensPerSecond: SpeedPlan;
  readonly assumed: PlanAssumptions;
}

export interface ModelInfoOptions {
  /** Called once the folder is known to load, before the seconds of the speed measurement. */
  readonly onMeasuring?: () => void;
}

/** Opens everything that an engine would open, so a folder that passes can be loaded. */
export async function modelInfo(directory: string, { onMeasuring }: ModelInfoOptions = {}): Promise<ModelInfo> {
  const config = readModelConfig(directory);
  const hasTokenizer = existsSync(join(directory, "tokenizer.json"));
  const tokenizer = hasTokenizer ? await loadTokenizer(directory) : undefined;
  if (tokenizer) checkTokenizer(tokenizer, config, directory);
  await (await openWeights(directory, config)).close();
  const { architecture, family, layers, width, heads, kvHeads, headDim, ffnWidth, contextLength, vocabSize } = config;
  const assumed: PlanAssumptions = {
    ...layoutFor(config),
    ...{ sequences: 16, context: Math.min(contextLength, 1024), microBatchTokens: 512 },
  };
  onMeasuring?.();
  return {
    ...{ directory, architecture, family, parameters: parameterCount(config), layers, width, heads, kvHeads, headDim },
    ...{ ffnWidth, contextLength, vocabSize, tiedHead: config.tied, tokenizer: hasTokenizer },
    chatTemplate: tokenizer?.chatTemplate !== undefined,
    memory: planMemory(config, assumed),
    tokensPerSecond: await predictSpeed(config, assumed),
    assumed,
  };
}
