import { readRecipe } from "../recipe/recipe-content.ts";
import { type PretrainProgress, pretrain } from "./pretrain.ts";
import { PretrainConfig } from "./pretrain-config.ts";

export interface PretrainOptions {
  /** Path of a recipe of `PretrainConfig`. */
  readonly recipe: string;
  readonly overrides: readonly string[];
  readonly out: string;
  readonly resume: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PretrainProgress) => void;
}

export async function runPretrain(
  options: PretrainOptions,
): Promise<{ readonly directory: string; readonly seconds: number }> {
  const began = performance.now();
  const config = readRecipe(PretrainConfig, { file: options.recipe, overrides: options.overrides });
  const { resume, signal, onProgress } = options;
  await pretrain(config, options.out, { resume, ...(signal ? { signal } : {}), ...(onProgress ? { onProgress } : {}) });
  return { directory: options.out, seconds: (performance.now() - began) / 1000 };
}
