/**
 * @file What differs between families of decoder models; everything else is in `model-config.ts` and the shared graphs.
 */
import type { Fail, JsonObject } from "../config-fields.ts";

/** Features of a layer that not every family has. */
export interface Features {
  /** Biases of the query, key and value projections. */
  readonly qkvBias: boolean;
  /** RMSNorm with a gain on each head of queries and keys, before the rotary embedding. */
  readonly qkNorm: boolean;
}

export interface Family {
  /** `model_type` in config.json. */
  readonly name: string;
  /** `architectures` in config.json. */
  readonly architecture: string;
  /** Names of models, for messages and documentation. */
  readonly models: string;
  /** The defaults of transformers for keys that config.json leaves out. */
  readonly defaults: { readonly contextLength: number; readonly headDim?: number };
  /** Refuses settings with which the same weights would compute another function. */
  readonly features: (raw: JsonObject, fail: Fail) => Features;
}
