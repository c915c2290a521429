import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { DataError, messageOf } from "../../base/errors.ts";
import { fsyncDirectory, writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { analyzerNames, analyzerOf } from "../analyzer.ts";
import { FORMAT, MANIFEST, PROGRESS, VERSION } from "./format.ts";
import { CorpusHash } from "./identity.ts";
import type { Manifest, SegmentManifest } from "./manifest-schema.ts";
import { manifestSchema } from "./manifest-schema.ts";
import type { Bm25 } from "./score.ts";

const REBUILD = "build the index again";

export interface IndexSettings extends Bm25 {
  readonly analyzer: string;
}

/** @throws DataError if there is no index, or if it is damaged or of another version */
export function readManifest(directory: string): Manifest {
  const file = join(directory, MANIFEST);
  if (!existsSync(file)) {
    if (existsSync(join(directory, PROGRESS)))
      throw new DataError(`${directory} is an index that is not finished`, {
        hint: "run the command that started it again, with --resume",
      });
    const what = existsSync(directory)
      ? `${directory} is not an index: it has no ${MANIFEST}`
      : `there is no index at ${directory}`;
    throw new DataError(what, { hint: "build one first: r1-searcher index build CORPUS --out DIR" });
  }
  const manifest = parseManifest(file);
  if (manifest.segments.length === 0) throw new DataError(`${file} names no segment`, { hint: REBUILD });
  return manifest;
}

/** @throws DataError if it is damaged or of another version */
export function parseManifest(file: string): Manifest {
  const value = parse(file);
  const { format, version, analyzer } = (value ?? {}) as Partial<Manifest>;
  if (format !== FORMAT)
    throw new DataError(`${file}: format is ${JSON.stringify(format)}, not "${FORMAT}"`, { hint: REBUILD });
  if (version !== VERSION)
    throw new DataError(`${file}: version ${version}; this program reads version ${VERSION}`, { hint: REBUILD });
  if (typeof analyzer !== "string" || analyzerOf(analyzer) === undefined)
    throw new DataError(`${file}: analyzer ${analyzer}; this program has ${analyzerNames.join(" and ")}`, {
      hint: REBUILD,
    });
  const manifest = manifestSchema.safeParse(value);
  if (!manifest.success)
    throw new DataError(`${file} is damaged: ${z.prettifyError(manifest.error)}`, { hint: REBUILD });
  const { sha256, ...body } = manifest.data;
  if (hashOf(body) !== sha256) throw new DataError(`${file} was changed after it was written`, { hint: REBUILD });
  const passages = manifest.data.segments.reduce((sum, segment) => sum + segment.passages, 0);
  if (passages !== manifest.data.passages)
    throw new DataError(`${file}: its segments hold ${passages} of ${manifest.data.passages} passages`, {
      hint: REBUILD,
    });
  return manifest.data;
}

/** Commits these segments: the folder has them from here on. The files that they name must be durable already. */
export function commitManifest(
  file: { readonly directory: string; readonly name: typeof MANIFEST | typeof PROGRESS },
  settings: IndexSettings,
  segments: readonly SegmentManifest[],
): Manifest {
  const hash = new CorpusHash();
  for (const segment of segments) hash.append(segment);
  const body: Omit<Manifest, "sha256"> = {
    format: FORMAT,
    version: VERSION,
    analyzer: settings.analyzer,
    k1: settings.k1,
    b: settings.b,
    passages: hash.passages,
    corpus: hash.digest(),
    segments: [...segments],
  };
  const manifest = { ...body, sha256: hashOf(body) };
  fsyncDirectory(file.directory); // the segments' names must be durable before the manifest that lists them
  writeAtomically(join(file.directory, file.name), `${toJson(manifest, 2)}\n`);
  return manifest;
}

function hashOf(body: Omit<Manifest, "sha256">): string {
  return createHash("sha256").update(toJson(body)).digest("hex");
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, { hint: REBUILD, cause });
  }
}
