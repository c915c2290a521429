import { parameterSpecs, readModelConfig } from "../engine/huggingface/model-config.ts";
import { openWeights } from "../engine/huggingface/safetensors.ts";
import { checkTokenizer, loadTokenizer } from "../engine/huggingface/tokenizer.ts";

export interface ModelInfo {
  readonly directory: string;
  readonly family: string;
  readonly parameters: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffnWidth: number;
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly tiedHead: boolean;
  readonly chatTemplate: boolean;
}

/** Opens everything an engine would open, so that a folder which this describes is one that loads. */
export async function modelInfo(directory: string): Promise<ModelInfo> {
  const config = readModelConfig(directory);
  const tokenizer = await loadTokenizer(directory);
  checkTokenizer(tokenizer, config, directory);
  await (await openWeights(directory, config)).close();
  const { family, layers, width, heads, kvHeads, ffnWidth, contextLength, vocabSize } = config;
  const parameters = parameterSpecs(config).reduce(
    (sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1),
    0,
  );
  const shape = { family, parameters, layers, width, heads, kvHeads, ffnWidth, contextLength, vocabSize };
  return { directory, ...shape, tiedHead: config.tied, chatTemplate: tokenizer.chatTemplate !== undefined };
}
