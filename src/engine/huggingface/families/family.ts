/** @file What tells one family of decoders from another; everything else is in `model-config.ts` and the shared graphs. */
import type { Fail, JsonObject } from "../config-fields.ts";

/** What the layers of a model have besides what every family has. */
export interface Features {
  /** Biases of the query, key and value projections. */
  readonly qkvBias: boolean;
  /** A gain over each head of queries and keys, normalised before they are turned. */
  readonly qkNorm: boolean;
}

export interface Family {
  /** As `model_type` of config.json says it. */
  readonly name: string;
  /** As `architectures` of config.json says it. */
  readonly architecture: string;
  /** For people. */
  readonly models: string;
  /** What transformers takes where config.json says nothing. */
  readonly defaults: { readonly contextLength: number; readonly headDim?: number };
  /** Refuses what would make the same weights mean another function. */
  readonly features: (raw: JsonObject, fail: Fail) => Features;
}
