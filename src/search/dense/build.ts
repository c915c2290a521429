import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ConfigError, DataError, InterruptedError, SearchError } from "../../base/errors.ts";
import { writeDurably } from "../../base/files.ts";
import { HttpError } from "../../base/http/http-error.ts";
import type { Passage } from "../../protocol/passage.ts";
import { type BuildProgress, type BuildReport, buildingFolder, checkTarget, moveIntoPlace } from "../bm25/build.ts";
import { MANIFEST, PROGRESS } from "../bm25/format.ts";
import { CorpusHash, passageRecord } from "../bm25/identity.ts";
import { OutputFile } from "../bm25/output-file.ts";
import { PassageStoreWriter } from "../bm25/passage-store.ts";
import { searchable } from "../bm25/rank.ts";
import { withWriteErrors } from "../bm25/writing.ts";
import { EncodedTexts } from "./encoded-texts.ts";
import type { Encoder } from "./encoder.ts";
import {
  commitDense,
  DENSE_FORMAT,
  DENSE_VERSION,
  type DensePart,
  denseParts,
  partFile,
  readDenseManifest,
} from "./format.ts";
import type { VectorFile } from "./vector-files.ts";

export interface DenseBuildOptions {
  readonly encoder: Encoder;
  /** One vector per passage in corpus order, used instead of encoding them. The encoder then encodes only queries. */
  readonly vectors?: VectorFile;
  readonly overwrite?: boolean;
  /**
   * Continues a stopped build with the same encoder; vectors already made are reused. Starts a new build if there is
   * none.
   */
  readonly resume?: boolean;
  readonly onProgress?: (progress: BuildProgress) => void;
  readonly signal?: AbortSignal;
}

/** Passages per call of the encoder. */
const BATCH = 32;

/**
 * File beside the parts of an index that is being built; it is removed before the index is moved to its destination.
 */
export const ENCODED = "encoded";

/**
 * Builds a dense index next to `directory` and moves it there when it is complete. A failed build leaves nothing. If
 * the signal, a crash or the encoder's server stopped it, the vectors made so far are kept and `resume` continues with
 * them. There may be one writer at a time: the command line holds a lock.
 * @throws ConfigError if the destination exists or cannot be written; DataError if the corpus is empty, or the vectors
 * do not belong to it; InterruptedError if the signal stopped it; SearchError if the encoder's server failed
 */
export async function buildDenseIndex(
  corpus: AsyncIterable<Passage>,
  directory: string,
  options: DenseBuildOptions,
): Promise<BuildReport> {
  const start = performance.now();
  const target = resolve(directory);
  const building = buildingFolder(directory);
  checkTarget(target, options.overwrite ?? false);
  return withWriteErrors(directory, async () => {
    mkdirSync(dirname(target), { recursive: true });
    checkBegun(building, options);
    if (!(options.resume && existsSync(join(building, MANIFEST)))) await buildFromScratch(corpus, building, options);
    const { passages } = readDenseManifest(building);
    rmSync(join(building, ENCODED), { force: true });
    moveIntoPlace(building, target);
    const bytes = readdirSync(target).reduce((sum, name) => sum + statSync(join(target, name)).size, 0);
    return { passages, bytes, seconds: (performance.now() - start) / 1000 };
  });
}

/** @throws ConfigError if there is a stopped build that this one would destroy, or cannot continue */
function checkBegun(building: string, { resume, overwrite, encoder }: DenseBuildOptions): void {
  const has = (name: string) => existsSync(join(building, name));
  if (resume && has(PROGRESS))
    throw new ConfigError(`${building} holds a build of a BM25 index, not of a dense one`, {
      hint: "resume it without --dense, or start again with --overwrite",
    });
  if (resume && has(MANIFEST) && readDenseManifest(building).encoder.fingerprint !== encoder.identity.fingerprint)
    throw new ConfigError(`${building} was built with another encoder`, { hint: "start again with --overwrite" });
  if (!resume && !overwrite && (has(PROGRESS) || has(MANIFEST) || has(ENCODED)))
    throw new ConfigError(`${building} holds a build that was stopped`, {
      hint: "continue with --resume, or start again with --overwrite",
    });
}

async function buildFromScratch(
  corpus: AsyncIterable<Passage>,
  building: string,
  options: DenseBuildOptions,
): Promise<void> {
  const { resume, encoder, vectors } = options;
  mkdirSync(building, { recursive: true });
  for (const name of readdirSync(building))
    if (!(resume && name === ENCODED)) rmSync(join(building, name), { recursive: true });
  const encoded = vectors ? undefined : new EncodedTexts(join(building, ENCODED), encoder.identity.fingerprint);
  const writer = new DenseWriter(building, vectors?.dimension ?? encoder.dimension);
  try {
    await fill(writer, corpus, { ...options, encoded });
    writer.finish({ encoder: encoder.identity, metric: vectors?.metric ?? "ip" });
  } catch (error) {
    const isKept = encoded !== undefined && (error instanceof InterruptedError || error instanceof SearchError);
    if (!isKept) rmSync(building, { recursive: true, force: true });
    throw error;
  } finally {
    writer.close();
    encoded?.close();
  }
}

async function fill(
  writer: DenseWriter,
  corpus: AsyncIterable<Passage>,
  options: DenseBuildOptions & { readonly encoded: EncodedTexts | undefined },
): Promise<void> {
  const { vectors, signal, onProgress } = options;
  const rows = vectors?.rows();
  let batch: Passage[] = [];
  const flush = async () => {
    if (rows && signal?.aborted)
      throw new InterruptedError("stopped; nothing of the index is kept", { hint: "run it again" });
    const found = rows
      ? batch.map(() => rows.next().value as Float32Array | undefined)
      : await encodedPassages(batch, options);
    batch.forEach((passage, i) => {
      const vector = found[i];
      if (vector === undefined) throw mismatch(`more than ${vectors?.count} passages`, vectors);
      writer.add(passage, vector);
    });
    onProgress?.({ phase: "reading", passages: writer.passages });
    batch = [];
  };
  for await (const passage of corpus) {
    batch.push(passage);
    if (batch.length === BATCH) await flush();
  }
  if (batch.length > 0) await flush();
  if (writer.passages === 0)
    throw new DataError("the corpus holds no passage", {
      hint: "give a file with at least one row of id, title and text",
    });
  if (vectors !== undefined && writer.passages !== vectors.count)
    throw mismatch(`${writer.passages} passages`, vectors);
}

/** Yields vectors kept from an earlier build first. */
async function encodedPassages(
  batch: readonly Passage[],
  { encoder, encoded, signal }: DenseBuildOptions & { readonly encoded: EncodedTexts | undefined },
): Promise<readonly Float32Array[]> {
  const texts = batch.map((passage) => searchable(passage).trim());
  const known = encoded?.take(texts) ?? [];
  const rest = texts.slice(known.length);
  const kept = () => `the vectors of ${encoded?.count ?? 0} passages are kept`;
  try {
    signal?.throwIfAborted();
    const fresh = rest.length === 0 ? [] : await encoder.encodePassages(rest, signal);
    if (fresh.length !== rest.length)
      throw new DataError(`the encoder gave ${fresh.length} vectors for ${rest.length} texts`);
    encoded?.add(rest, fresh);
    return [...known, ...fresh];
  } catch (cause) {
    const hint = "run the same command again with --resume";
    if (signal?.aborted) throw new InterruptedError(`stopped; ${kept()}`, { hint });
    if (!(cause instanceof HttpError)) throw cause;
    throw new SearchError(`the encoder failed (${cause.message}); ${kept()}`, { hint, cause });
  }
}

function mismatch(corpus: string, vectors: VectorFile | undefined): DataError {
  return new DataError(`the corpus has ${corpus}, the file of vectors ${vectors?.count} vectors`, {
    hint: "give the corpus that the vectors were made from, in its order",
  });
}

class DenseWriter {
  readonly #directory: string;
  readonly #files: Readonly<Record<DensePart, OutputFile>>;
  readonly #store: PassageStoreWriter;
  readonly #hash = new CorpusHash();
  #dimension: number | undefined;

  constructor(directory: string, dimension: number | undefined) {
    this.#directory = directory;
    this.#dimension = dimension;
    const open = (part: DensePart) => [part, new OutputFile(join(directory, partFile(part)))];
    this.#files = Object.fromEntries(denseParts.map(open)) as Record<DensePart, OutputFile>;
    this.#store = new PassageStoreWriter({
      passages: this.#files["passages.jsonl.gz"],
      offsets: this.#files.offsets,
    });
  }

  get passages(): number {
    return this.#hash.passages;
  }

  add(passage: Passage, vector: Float32Array): void {
    this.#dimension ??= vector.length;
    if (vector.length !== this.#dimension)
      throw new ConfigError(`passage ${passage.id} got a vector of ${vector.length}, others of ${this.#dimension}`, {
        hint: "use one encoder for all",
      });
    if (!vector.every(Number.isFinite))
      throw new DataError(`the vector of passage ${passage.id} holds a number that is not finite`);
    const record = Buffer.from(passageRecord(passage));
    this.#hash.add(record);
    this.#store.add(record);
    const { codes, scale } = quantised(vector);
    this.#files.vectors.write(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
    this.#files.codes.write(new Uint8Array(codes.buffer));
    this.#files.scales.write(new Uint8Array(Float32Array.of(scale).buffer));
  }

  finish(about: { readonly encoder: Encoder["identity"]; readonly metric: "ip" | "l2" }): void {
    this.#store.finish();
    const bytes = denseParts.map((part) => this.#files[part].size);
    const sums = Buffer.concat(
      denseParts.map((part) => Buffer.from(new Uint8Array(this.#files[part].finish().buffer))),
    );
    writeDurably(join(this.#directory, partFile("sums")), sums);
    commitDense(this.#directory, {
      format: DENSE_FORMAT,
      version: DENSE_VERSION,
      passages: this.#hash.passages,
      dimension: this.#dimension!,
      ...about,
      corpus: this.#hash.digest(),
      bytes,
      sums: createHash("sha256").update(sums).digest("hex"),
    });
  }

  /** Also call it after a failure; it may be called twice. */
  close(): void {
    for (const part of denseParts) this.#files[part].close();
  }
}

/** Symmetric quantisation to integers from -127 to 127. */
export function quantised(vector: Float32Array): { readonly codes: Int8Array; readonly scale: number } {
  let largest = 0;
  for (const x of vector) largest = Math.max(largest, Math.abs(x));
  const scale = Math.fround(largest / 127);
  const codes = new Int8Array(vector.length);
  if (scale > 0)
    for (let i = 0; i < codes.length; i++) codes[i] = Math.max(-127, Math.min(127, Math.round(vector[i]! / scale)));
  return { codes, scale };
}
