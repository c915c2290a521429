import { ConfigError } from "../../base/errors.ts";
import type { CorpusOptions } from "../../run/search/run-index-build.ts";
import type { Pooling } from "../../search/dense/encoder-settings.ts";

interface Asked extends CorpusOptions {
  readonly overwrite?: true | undefined;
  readonly resume?: true | undefined;
  readonly stem?: true | undefined;
  readonly k1: number;
  readonly b: number;
  readonly threads: number;
  readonly signal: AbortSignal;
  readonly dense?: string | undefined;
  readonly vectors?: string | undefined;
  readonly pooling?: Pooling | undefined;
  readonly queryPrefix?: string | undefined;
  readonly passagePrefix?: string | undefined;
}

/**
 * Builds a BM25 index, or a dense one if an encoder is named. @throws ConfigError if the options do not fit together
 */
export async function buildAsAsked(corpus: string, out: string, asked: Asked) {
  const { dense, vectors, pooling, queryPrefix, passagePrefix, stem, resume, k1, b, threads, ...rest } = asked;
  const { overwrite = false, ...reading } = rest;
  const { runDenseBuild, runIndexBuild } = await import("../../run/search/run-index-build.ts");
  const using = Object.fromEntries(
    Object.entries({ pooling, queryPrefix, passagePrefix }).filter(([, value]) => value !== undefined),
  );
  if (dense === undefined) {
    if (vectors !== undefined || Object.keys(using).length > 0)
      throw new ConfigError("options of a dense index are given without --dense", {
        hint: "name the encoder with --dense: it also encodes the queries",
      });
    const analyzer = stem ? "unicode-v1+porter" : "unicode-v1";
    return runIndexBuild(corpus, out, { ...reading, overwrite, analyzer, k1, b, threads, resume: resume ?? false });
  }
  if (stem) throw new ConfigError("--stem is given with --dense", { hint: "stemming is only for BM25 indexes" });
  return runDenseBuild(corpus, out, {
    ...reading,
    ...{ overwrite, resume: resume ?? false },
    ...{ encoder: dense, vectors, using: { ...using, threads } },
  });
}
