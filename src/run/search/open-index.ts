/** @file Opens an index folder as BM25, dense or hybrid search, depending on what it contains. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../base/errors.ts";
import { MANIFEST } from "../../search/bm25/format.ts";
import { readManifest } from "../../search/bm25/manifest.ts";
import { openIndex } from "../../search/bm25/open.ts";
import type { Encoder } from "../../search/dense/encoder.ts";
import type { EncoderOverrides } from "../../search/dense/encoder-settings.ts";
import { DENSE_FORMAT, readDenseManifest } from "../../search/dense/format.ts";
import { openDenseIndex } from "../../search/dense/open.ts";
import { fusedSearcher } from "../../search/hybrid/fused.ts";
import type { Searcher } from "../../search/searcher.ts";

export interface OpenFolderOptions {
  /** Location of a dense index's encoder, if it has moved since the index was built. */
  readonly encoder?: string | undefined;
  readonly timeoutMs?: number;
}

/** The two folders inside a folder for hybrid search. */
const LEXICAL = "bm25";
const DENSE = "dense";

/** @throws DataError if there is no index or it is damaged, or if two indexes side by side are of different corpora */
export async function openIndexFolder(directory: string, options: OpenFolderOptions = {}): Promise<Searcher> {
  if (isDense(directory)) return openDense(directory, options);
  const [lexical, dense] = [join(directory, LEXICAL), join(directory, DENSE)];
  if (![lexical, dense].every((folder) => existsSync(join(folder, MANIFEST)))) return openIndex(directory);
  if (readManifest(lexical).corpus !== readDenseManifest(dense).corpus)
    throw new DataError(`${lexical} and ${dense} are indexes of different corpora`, {
      hint: "build both over the same file",
    });
  const near = await openIndex(lexical);
  try {
    return fusedSearcher([near, await openDense(dense, options)]);
  } catch (error) {
    await near.close();
    throw error;
  }
}

/** The encoder that a dense index was built with, with the same settings. */
export async function openIndexEncoder(
  directory: string,
  { encoder: place, timeoutMs }: OpenFolderOptions,
): Promise<Encoder> {
  const { source, settings } = readDenseManifest(directory).encoder;
  const { dimension: _, ...overrides } = settings; // even if the encoder's folder has other settings now
  const { openEncoder } = await import("./open-encoder.ts"); // loaded only for a dense index
  return openEncoder(place ?? source, {
    ...(overrides as EncoderOverrides),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

async function openDense(directory: string, options: OpenFolderOptions): Promise<Searcher> {
  const encoder = await openIndexEncoder(directory, options);
  try {
    return await openDenseIndex(directory, { encoder });
  } catch (error) {
    await encoder.close();
    throw error;
  }
}

/** Whether the folder is a single dense index. */
export const isDense = (directory: string) => formatOf(directory) === DENSE_FORMAT;

/** Undefined if it cannot be determined; opening the index then reports why. */
function formatOf(directory: string): unknown {
  try {
    return (JSON.parse(readFileSync(join(directory, MANIFEST), "utf8")) as { format?: unknown }).format;
  } catch {
    return undefined;
  }
}
