import { createHash } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ConfigError, DataError, InterruptedError } from "../../base/errors.ts";
import { writeDurably } from "../../base/files.ts";
import type { Passage } from "../../protocol/passage.ts";
import { type BuildProgress, type BuildReport, buildingFolder, checkTarget, moveIntoPlace } from "../bm25/build.ts";
import { CorpusHash, passageRecord } from "../bm25/identity.ts";
import { OutputFile } from "../bm25/output-file.ts";
import { PassageStoreWriter } from "../bm25/passage-store.ts";
import { searchable } from "../bm25/rank.ts";
import { writing } from "../bm25/writing.ts";
import type { Encoder } from "./encoder.ts";
import { commitDense, DENSE_FORMAT, DENSE_VERSION, type DensePart, denseParts, partFile } from "./format.ts";
import type { VectorFile } from "./vector-files.ts";

export interface DenseBuildOptions {
  readonly encoder: Encoder;
  /** One vector per passage in corpus order, in place of encoding them. The encoder then serves queries alone. */
  readonly vectors?: VectorFile;
  readonly overwrite?: boolean;
  readonly onProgress?: (progress: BuildProgress) => void;
  readonly signal?: AbortSignal;
}

/** Passages encoded with one call. */
const BATCH = 32;

/**
 * Builds a dense index next to `directory` and moves it there when it is whole; anything else leaves nothing. One writer
 * at a time: the command line holds a lock.
 * @throws ConfigError where the target exists or cannot be written; DataError where the corpus is empty, or the vectors
 * are not its; InterruptedError where the signal stopped it
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
  return writing(directory, async () => {
    mkdirSync(dirname(target), { recursive: true });
    rmSync(building, { recursive: true, force: true });
    mkdirSync(building);
    const writer = new DenseWriter(building, options.vectors?.dimension ?? options.encoder.dimension);
    try {
      await fill(writer, corpus, options);
      const metric = options.vectors?.metric ?? "ip";
      const bytes = writer.finish({ encoder: options.encoder.identity, metric });
      moveIntoPlace(building, target);
      return { passages: writer.passages, bytes, seconds: (performance.now() - start) / 1000 };
    } catch (error) {
      writer.close();
      rmSync(building, { recursive: true, force: true });
      throw error;
    }
  });
}

async function fill(writer: DenseWriter, corpus: AsyncIterable<Passage>, options: DenseBuildOptions): Promise<void> {
  const { encoder, vectors, signal, onProgress } = options;
  const rows = vectors?.rows();
  let batch: Passage[] = [];
  const flush = async () => {
    if (signal?.aborted) throw new InterruptedError("stopped; nothing of the index is kept", { hint: "run it again" });
    const encoded = rows
      ? batch.map(() => rows.next().value as Float32Array | undefined)
      : await encoder.encodePassages(
          batch.map((passage) => searchable(passage).trim()),
          signal,
        );
    batch.forEach((passage, i) => {
      const vector = encoded[i];
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

  /** @returns bytes of all files */
  finish(about: { readonly encoder: Encoder["identity"]; readonly metric: "ip" | "l2" }): number {
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
    return bytes.reduce((sum, size) => sum + size, sums.length);
  }

  /** Also after a failure; may be called twice. */
  close(): void {
    for (const part of denseParts) this.#files[part].close();
  }
}

/** Symmetric, to whole numbers from -127 to 127. */
export function quantised(vector: Float32Array): { readonly codes: Int8Array; readonly scale: number } {
  let largest = 0;
  for (const x of vector) largest = Math.max(largest, Math.abs(x));
  const scale = Math.fround(largest / 127);
  const codes = new Int8Array(vector.length);
  if (scale > 0)
    for (let i = 0; i < codes.length; i++) codes[i] = Math.max(-127, Math.min(127, Math.round(vector[i]! / scale)));
  return { codes, scale };
}
