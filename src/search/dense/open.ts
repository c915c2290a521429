import { createHash } from "node:crypto";
import { totalmem } from "node:os";
import { boundary, DataError, SearchError } from "../../base/errors.ts";
import { toJson } from "../../base/jsonl.ts";
import { type CheckedFile, PageCache } from "../bm25/checked-file.ts";
import { PassageStoreReader } from "../bm25/passage-store.ts";
import { TopK } from "../bm25/top-k.ts";
import { failedQueries } from "../remote/remote-searcher.ts";
import type { Hit, QueryResult, Searcher, SearcherInfo } from "../searcher.ts";
import { searcherOf } from "../searcher-life.ts";
import { openBitScan } from "./bit-scan.ts";
import type { Encoder } from "./encoder.ts";
import { closeDenseParts, type DenseManifest, type DensePart, openDenseParts, readDenseManifest } from "./format.ts";
import type { Scan, ScanSource } from "./scan.ts";

export interface DenseOpenOptions {
  /** Encodes the queries; closed together with the searcher. */
  readonly encoder: Encoder;
  /**
   * What is kept in memory of every vector (default: int8 if that takes at most a quarter of the machine's memory, else
   * bits).
   */
  readonly scan?: "int8" | "bits";
  readonly threads?: number;
}

const CACHE_BYTES = 64 << 20;
/** Quantisation moves a passage by a few ranks only: this many candidates, and four times k, are scored exactly. */
const LEAST_CANDIDATES = 32;
const SHARE = 4;

/**
 * @throws DataError if the folder is missing, damaged or of another version, or the encoder is not the one it was built
 * with
 */
export async function openDenseIndex(directory: string, options: DenseOpenOptions): Promise<Searcher> {
  const manifest = readDenseManifest(directory);
  const { encoder, threads = 1 } = options;
  if (encoder.identity.fingerprint !== manifest.encoder.fingerprint)
    throw new DataError(`${directory} was built with another encoder than ${encoder.identity.source}`, {
      hint: `open it with the encoder that it was built with, ${manifest.encoder.source}, unchanged`,
    });
  const kind = options.scan ?? (manifest.bytes[3]! <= totalmem() / 4 ? "int8" : "bits");
  return boundary(DataError, `index ${directory} cannot be opened`, async () => {
    const files = openDenseParts(directory, manifest, new PageCache(CACHE_BYTES));
    try {
      const source = sourceOf(manifest, files);
      const scan = kind === "int8" ? await int8ScanOf(source, threads) : openBitScan(source);
      return searcherOver({ manifest, files, scan, encoder, info: infoOf(manifest, kind) });
    } catch (error) {
      closeDenseParts(files);
      throw error instanceof SearchError ? new DataError(error.message, { hint: error.hint, cause: error }) : error;
    }
  });
}

/** The ONNX runtime is loaded only if it is used. */
async function int8ScanOf(source: ScanSource, threads: number): Promise<Scan> {
  const { openInt8Scan } = await import("./int8-scan.ts");
  return openInt8Scan(source, threads);
}

function sourceOf({ passages, dimension, metric }: DenseManifest, files: Record<DensePart, CheckedFile>): ScanSource {
  const scales = new Float32Array(passages);
  let at = 0;
  for (const pages of files.scales.pages()) {
    const view = new DataView(pages.buffer, pages.byteOffset, pages.byteLength); // a page holds a whole number of values
    for (let i = 0; i < view.byteLength; i += 4) scales[at++] = view.getFloat32(i, true);
  }
  return {
    count: passages,
    dimension,
    metric,
    scales,
    *codes() {
      for (const { buffer, byteOffset, byteLength } of files.codes.pages())
        yield new Int8Array(buffer, byteOffset, byteLength);
    },
  };
}

interface Parts {
  readonly manifest: DenseManifest;
  readonly files: Record<DensePart, CheckedFile>;
  readonly scan: Scan;
  readonly encoder: Encoder;
  readonly info: SearcherInfo;
}

function searcherOver(parts: Parts): Searcher {
  const { files, scan, encoder, info } = parts;
  const store = new PassageStoreReader({ passages: files["passages.jsonl.gz"], offsets: files.offsets });
  return searcherOf({
    info,
    search: (queries, { k, signal }) => answer(parts, { store, queries, k, signal }),
    async close(idle) {
      await idle; // a running scan reads files and uses a session
      closeDenseParts(files);
      await scan.close();
      await encoder.close();
    },
  });
}

interface PendingQueries {
  readonly store: PassageStoreReader;
  readonly queries: readonly string[];
  readonly k: number;
  readonly signal: AbortSignal | undefined;
}

async function answer(parts: Parts, { store, queries, k, signal }: PendingQueries): Promise<QueryResult[]> {
  const { manifest, scan, encoder, files } = parts;
  let vectors: readonly Float32Array[];
  try {
    vectors = await encoder.encodeQueries(queries, signal);
  } catch (cause) {
    signal?.throwIfAborted();
    return failedQueries(queries, cause);
  }
  const wrong = vectors.find(({ length }) => length !== manifest.dimension);
  if (wrong !== undefined) {
    const message = `the encoder gave a vector of ${wrong.length}; the index holds vectors of ${manifest.dimension}`;
    return failedQueries(queries, new SearchError(message));
  }
  const depth = Math.max(LEAST_CANDIDATES, Math.min(SHARE * k, manifest.passages));
  const lists = await scan.candidates(vectors, depth);
  return vectors.map((vector, i): QueryResult => {
    try {
      if (!vector.some((x) => x !== 0)) return { ok: true, hits: [] }; // with such a vector every similarity would be the same
      return { ok: true, hits: scored(vector, lists[i]!, { manifest, file: files.vectors, store, k }) };
    } catch (cause) {
      return failedQueries([""], cause)[0]!;
    }
  });
}

function scored(
  query: Float32Array,
  candidates: Iterable<number>,
  from: { manifest: DenseManifest; file: CheckedFile; store: PassageStoreReader; k: number },
): Hit[] {
  const { manifest, file, store, k } = from;
  const { dimension, metric } = manifest;
  const best = new TopK(k);
  for (const at of candidates) {
    const bytes = file.read(at * dimension * 4, (at + 1) * dimension * 4);
    best.offer(similarity(query, floatsOf(bytes), metric), at);
  }
  return best.sorted().map(({ at, score }, i) => ({ ...store.passage(at), score, rank: i + 1 }));
}

/** Little endian, like every machine on which Node and ONNX Runtime run. */
function floatsOf({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array {
  return byteOffset % 4 === 0
    ? new Float32Array(buffer, byteOffset, byteLength >> 2)
    : new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
}

function similarity(query: Float32Array, row: Float32Array, metric: "ip" | "l2"): number {
  let sum = 0;
  if (metric === "ip") for (let i = 0; i < row.length; i++) sum += query[i]! * row[i]!;
  else for (let i = 0; i < row.length; i++) sum -= (query[i]! - row[i]!) ** 2;
  return sum;
}

function infoOf({ passages, corpus, sums, dimension, metric, encoder }: DenseManifest, scan: string): SearcherInfo {
  const hash = createHash("sha256")
    .update(toJson(["dense", corpus, sums, encoder.fingerprint, metric, scan]))
    .digest("hex");
  const { source, fingerprint } = encoder;
  const settings = { encoder: source, encoderHash: fingerprint.slice(0, 16), dimension, metric, scan };
  return { kind: "dense", passages, hash, settings };
}
