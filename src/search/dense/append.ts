/**
 * @file Adds passages to a dense index. A new index is written beside the old one; existing vectors are reused, not
 * encoded again.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigError, InterruptedError, SearchError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import { type BuildReport, buildingFolder, moveIntoPlace } from "../bm25/build.ts";
import { PageCache } from "../bm25/checked-file.ts";
import { PassageStoreReader } from "../bm25/passage-store.ts";
import { searchable } from "../bm25/rank.ts";
import { withWriteErrors } from "../bm25/writing.ts";
import { buildDenseIndex, type DenseBuildOptions, ENCODED } from "./build.ts";
import { EncodedTexts } from "./encoded-texts.ts";
import { closeDenseParts, type DenseManifest, openDenseParts, readDenseManifest } from "./format.ts";

export type DenseAppendOptions = Pick<DenseBuildOptions, "encoder" | "onProgress" | "signal">;

const CHUNK = 256;
const CACHE_BYTES = 4 << 20;

/**
 * Appends a corpus to an index, all of it or nothing; after an interruption the same call continues. It does not check
 * whether the ids are new. There may be one writer at a time: the command line holds a lock.
 * @throws DataError if there is no index, it is damaged, or the corpus is empty or invalid; ConfigError if the encoder
 * is not the index's; InterruptedError if the signal stopped it; SearchError if the encoder's server failed
 */
export async function appendToDenseIndex(
  corpus: AsyncIterable<Passage>,
  directory: string,
  options: DenseAppendOptions,
): Promise<BuildReport> {
  const start = performance.now();
  const target = resolve(directory);
  const beside = `${target}.appending`;
  // the process died before or between the renames: only they remain to be done
  if (!existsSync(beside)) await buildBeside(corpus, { target, beside }, options);
  return withWriteErrors(directory, async () => {
    moveIntoPlace(beside, target);
    const { passages, bytes } = readDenseManifest(target);
    const size = bytes.reduce((sum, part) => sum + part, 0);
    return { passages, bytes: size, seconds: (performance.now() - start) / 1000 };
  });
}

async function buildBeside(
  corpus: AsyncIterable<Passage>,
  { target, beside }: { readonly target: string; readonly beside: string },
  options: DenseAppendOptions,
): Promise<void> {
  const manifest = readDenseManifest(target);
  const { source, fingerprint } = manifest.encoder;
  if (fingerprint !== options.encoder.identity.fingerprint)
    throw new ConfigError(`${target} was built with another encoder than ${options.encoder.identity.source}`, {
      hint: `add with the encoder that it was built with, ${source}, unchanged`,
    });
  const held = new Held(target, manifest);
  try {
    held.keepVectors(buildingFolder(beside), fingerprint);
    await buildDenseIndex(held.with(corpus), beside, { ...options, resume: true });
  } catch (error) {
    if (error instanceof InterruptedError) throw new InterruptedError(error.message, { hint: again });
    if (error instanceof SearchError) throw new SearchError(error.message, { hint: again, cause: error });
    throw error;
  } finally {
    held.close();
  }
}

const again = "run the same command again: it continues";

/** The passages of the index, in order. */
class Held {
  readonly #manifest: DenseManifest;
  readonly #files: ReturnType<typeof openDenseParts>;
  readonly #store: PassageStoreReader;

  constructor(directory: string, manifest: DenseManifest) {
    this.#manifest = manifest;
    this.#files = openDenseParts(directory, manifest, new PageCache(CACHE_BYTES));
    this.#store = new PassageStoreReader({ passages: this.#files["passages.jsonl.gz"], offsets: this.#files.offsets });
  }

  /** Copies the index's vectors to where a build looks for them. */
  keepVectors(building: string, fingerprint: string): void {
    mkdirSync(building, { recursive: true });
    const encoded = new EncodedTexts(join(building, ENCODED), fingerprint);
    try {
      for (let from = 0; from < this.#manifest.passages; from += CHUNK) {
        const places = Array.from({ length: Math.min(CHUNK, this.#manifest.passages - from) }, (_, i) => from + i);
        const texts = places.map((at) => searchable(this.#store.passage(at)).trim());
        const known = encoded.take(texts).length;
        encoded.add(
          texts.slice(known),
          places.slice(known).map((at) => this.#vector(at)),
        );
      }
    } finally {
      encoded.close();
    }
  }

  async *with(corpus: AsyncIterable<Passage>): AsyncGenerator<Passage> {
    for (let at = 0; at < this.#manifest.passages; at++) yield this.#store.passage(at);
    yield* corpus;
  }

  close(): void {
    closeDenseParts(this.#files);
  }

  #vector(at: number): Float32Array {
    const bytes = this.#manifest.dimension * 4;
    const { buffer, byteOffset } = this.#files.vectors.read(at * bytes, (at + 1) * bytes);
    return new Float32Array(buffer.slice(byteOffset, byteOffset + bytes));
  }
}
