import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { DataError, messageOf } from "../../base/errors.ts";
import { sha256File } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { ANALYZER } from "../analyzer.ts";
import { type FileManifest, FORMAT, MANIFEST, type Manifest, manifestSchema, segmentParts, VERSION } from "./format.ts";

const REBUILD = "build the index again";
/** Larger files are only hashed on demand: 64 MiB take about 50 ms. */
const ALWAYS_HASHED = 64 << 20;

export function manifestHash(body: Omit<Manifest, "sha256">): string {
  return createHash("sha256").update(toJson(body)).digest("hex");
}

/** @throws DataError where there is no index, or one that this version cannot read or that is damaged */
export function readManifest(directory: string): Manifest {
  const file = join(directory, MANIFEST);
  if (!existsSync(file)) {
    const what = existsSync(directory)
      ? `${directory} is not an index: it has no ${MANIFEST}`
      : `there is no index at ${directory}`;
    throw new DataError(what, { hint: "build one first: r1-searcher index build CORPUS --out DIR" });
  }
  const value = parse(file);
  const { format, version, analyzer } = (value ?? {}) as Partial<Manifest>;
  if (format !== FORMAT)
    throw new DataError(`${file}: format is ${JSON.stringify(format)}, not "${FORMAT}"`, { hint: REBUILD });
  if (version !== VERSION)
    throw new DataError(`${file}: version ${version}; this program reads version ${VERSION}`, { hint: REBUILD });
  if (analyzer !== ANALYZER)
    throw new DataError(`${file}: analyzer ${analyzer}; this program has ${ANALYZER}`, { hint: REBUILD });
  const manifest = manifestSchema.safeParse(value);
  if (!manifest.success)
    throw new DataError(`${file} is damaged: ${z.prettifyError(manifest.error)}`, { hint: REBUILD });
  const { sha256, ...body } = manifest.data;
  if (manifestHash(body) !== sha256) throw new DataError(`${file} was changed after it was written`, { hint: REBUILD });
  checkSegments(manifest.data, file);
  return manifest.data;
}

function parse(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, { hint: REBUILD, cause });
  }
}

function checkSegments(manifest: Manifest, file: string): void {
  for (const { name, files } of manifest.segments) {
    const expected = segmentParts.map((part) => `${name}.${part}`);
    if (files.some((part, i) => part.name !== expected[i])) {
      throw new DataError(`${file}: ${name} does not consist of ${expected.join(", ")}`, { hint: REBUILD });
    }
  }
  const passages = manifest.segments.reduce((sum, segment) => sum + segment.passages, 0);
  if (passages !== manifest.passages)
    throw new DataError(`${file}: its segments hold ${passages} of ${manifest.passages} passages`, { hint: REBUILD });
}

/** @throws DataError naming the first file that is missing, cut or changed */
export async function checkFiles(directory: string, manifest: Manifest, everything: boolean): Promise<void> {
  for (const file of manifest.segments.flatMap(({ files }) => files)) {
    const path = join(directory, file.name);
    const size = existsSync(path) ? statSync(path).size : undefined;
    if (size === undefined) throw new DataError(`${path} is missing`, { hint: REBUILD });
    if (size !== file.size) throw new DataError(`${path} has ${size} bytes, not ${file.size}`, { hint: REBUILD });
    if (everything || size <= ALWAYS_HASHED) await checkHash(path, file);
  }
}

async function checkHash(path: string, file: FileManifest): Promise<void> {
  if ((await sha256File(path)) !== file.sha256)
    throw new DataError(`${path} was changed after it was written`, { hint: REBUILD });
}
