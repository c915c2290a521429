/**
 * @file A dense index on disk, version 1: a folder with `manifest.json` and six files, little endian, in corpus order.
 *
 * - `dense.passages.jsonl.gz`, `dense.offsets`  the passages, as in a BM25 index (`bm25/format.ts`)
 * - `dense.vectors`  f32 × dimension per passage: what the best candidates are scored by
 * - `dense.codes`    i8 × dimension per passage: the vector divided by its scale and rounded
 * - `dense.scales`   f32 per passage: its largest component / 127
 * - `dense.sums`     CRC-32 of every page of 16 KiB of the five files, in this order: u32 each
 *
 * The manifest is summed, it sums the sums, and they sum the pages.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { DataError, messageOf } from "../../base/errors.ts";
import { fsyncDirectory, writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { CheckedFile, type PageCache } from "../bm25/checked-file.ts";
import { MANIFEST, PAGE } from "../bm25/format.ts";

export const DENSE_FORMAT = "r1-searcher/dense";
export const DENSE_VERSION = 1;

export const denseParts = ["passages.jsonl.gz", "offsets", "vectors", "codes", "scales"] as const;
export type DensePart = (typeof denseParts)[number];
export const partFile = (part: DensePart | "sums") => `dense.${part}`;

const count = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const manifestSchema = z.object({
  format: z.literal(DENSE_FORMAT),
  version: z.literal(DENSE_VERSION),
  passages: count.positive(),
  dimension: count.positive().max(65_536),
  /** Inner product, or squared distance. */
  metric: z.enum(["ip", "l2"]),
  encoder: z.object({
    source: z.string(),
    fingerprint: z.string(),
    settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  }),
  /** `CorpusHash` of all passages. */
  corpus: z.string().regex(/^[0-9a-f]{32}$/),
  /** Sizes of the parts, in their order. */
  bytes: z.array(count).length(denseParts.length),
  /** SHA-256 of the sums. */
  sums: sha256,
  /** SHA-256 of this manifest's JSON without this field. */
  sha256,
});
export type DenseManifest = z.infer<typeof manifestSchema>;

const REBUILD = "build the index again";
const hashOf = (body: Omit<DenseManifest, "sha256">) => createHash("sha256").update(toJson(body)).digest("hex");

/** The files that it names must be durable already. */
export function commitDense(directory: string, about: Omit<DenseManifest, "sha256">): void {
  const body = manifestSchema.omit({ sha256: true }).parse(about); // in the order in which it is hashed and read
  fsyncDirectory(directory);
  writeAtomically(join(directory, MANIFEST), `${toJson({ ...body, sha256: hashOf(body) }, 2)}\n`);
}

/** @throws DataError if it is not a dense index, or damaged or of another version */
export function readDenseManifest(directory: string): DenseManifest {
  const file = join(directory, MANIFEST);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, { hint: REBUILD, cause });
  }
  const { version } = (value ?? {}) as { version?: unknown };
  if (typeof version === "number" && version !== DENSE_VERSION)
    throw new DataError(`${file}: version ${version}; this program reads version ${DENSE_VERSION}`, { hint: REBUILD });
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) throw new DataError(`${file} is damaged: ${z.prettifyError(parsed.error)}`, { hint: REBUILD });
  const { sha256: expected, ...body } = parsed.data;
  if (hashOf(body) !== expected) throw new DataError(`${file} was changed after it was written`, { hint: REBUILD });
  const { passages, dimension, bytes } = body;
  const [, offsets, vectors, codes, scales] = bytes;
  if (
    offsets !== passages * 8 ||
    vectors !== passages * dimension * 4 ||
    codes !== passages * dimension ||
    scales !== passages * 4
  )
    throw new DataError(`${file}: its sizes are not those of ${passages} vectors of ${dimension}`, { hint: REBUILD });
  return parsed.data;
}

/** @throws DataError if a file is missing or truncated, or its checksums are not those of the manifest */
export function openDenseParts(
  directory: string,
  manifest: DenseManifest,
  cache: PageCache,
): Record<DensePart, CheckedFile> {
  const pages = manifest.bytes.map((size) => Math.ceil(size / PAGE));
  const path = (part: DensePart | "sums") => join(directory, partFile(part));
  denseParts.forEach((part, i) => {
    checkSize(path(part), manifest.bytes[i]!);
  });
  checkSize(path("sums"), pages.reduce((sum, some) => sum + some, 0) * 4);
  const sums = readFileSync(path("sums"));
  if (createHash("sha256").update(sums).digest("hex") !== manifest.sums)
    throw new DataError(`${path("sums")} was changed after it was written`, { hint: REBUILD });
  let at = 0;
  const opened: [DensePart, CheckedFile][] = [];
  try {
    denseParts.forEach((part, i) => {
      const own = Uint32Array.from({ length: pages[i]! }, () => sums.readUInt32LE((at += 4) - 4));
      opened.push([part, new CheckedFile(path(part), { size: manifest.bytes[i]!, sums: own, cache })]);
    });
  } catch (error) {
    for (const [, file] of opened) file.close();
    throw error;
  }
  return Object.fromEntries(opened) as Record<DensePart, CheckedFile>;
}

export function closeDenseParts(files: Partial<Record<DensePart, CheckedFile>>): void {
  for (const file of Object.values(files)) file.close();
}

function checkSize(path: string, expected: number): void {
  const size = existsSync(path) ? statSync(path).size : undefined;
  if (size === undefined) throw new DataError(`${path} is missing`, { hint: REBUILD });
  if (size !== expected) throw new DataError(`${path} has ${size} bytes, not ${expected}`, { hint: REBUILD });
}
