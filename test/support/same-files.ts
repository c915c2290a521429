/** @file Two folders, byte for byte. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface FolderComparison {
  readonly files: number;
  readonly bytes: number;
  /** The first difference in order of path, in words; undefined where there is none. */
  readonly difference: string | undefined;
}

/** Paths of all files below a folder, with forward slashes, in order. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, "/").length).replaceAll("\\", "/"))
    .sort();
}

/** @param isCompared by path; what differs between two identical runs is left out */
export function compareFolders(
  expected: string,
  actual: string,
  isCompared: (path: string) => boolean,
): FolderComparison {
  const [before, after] = [expected, actual].map((folder) => filesBelow(folder).filter(isCompared));
  let bytes = 0;
  const paths = [...new Set([...before!, ...after!])].sort();
  const result = (difference?: string): FolderComparison => ({ files: paths.length, bytes, difference });
  for (const path of paths) {
    if (!after!.includes(path)) return result(`${path} is missing from ${actual}`);
    if (!before!.includes(path)) return result(`${path} is in ${actual} only`);
    const [a, b] = [expected, actual].map((folder) => readFileSync(join(folder, path)));
    bytes += a!.length;
    if (!a!.equals(b!)) return result(`${path} differs from byte ${firstDifference(a!, b!)} (of ${a!.length})`);
  }
  return result();
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at++) if (a[at] !== b[at]) return at;
  return shorter;
}
