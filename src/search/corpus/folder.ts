import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../base/errors.ts";
import { documentRows, isDocument } from "./documents.ts";
import type { Meter, Row, Shape } from "./row.ts";

interface Entry {
  readonly path: string;
  /** Relative to the folder, with forward slashes. */
  readonly name: string;
}

/** Returns the reader of a single corpus file, or undefined. */
export type ShapeOf = (file: string, meter: Meter) => Shape | undefined;

/**
 * Reads everything readable in a folder and its subfolders, ordered by name: documents, and corpus files, as one
 * corpus. Hidden files and links are skipped.
 * @throws DataError if nothing is readable
 */
export function folderShape(folder: string, shapeOf: ShapeOf, meter: Meter): Shape {
  const files = filesUnder(folder).filter(({ path }) => isDocument(path) || shapeOf(path, meter) !== undefined);
  if (files.length === 0)
    throw new DataError(`${folder} holds no corpus`, {
      hint: "give a folder with .md, .txt or .html documents, or with .jsonl, .tsv, .json or .parquet files",
    });
  meter.total = files.reduce((sum, { path }) => sum + statSync(path).size, 0);
  /** For each file read: the place before its first passage, and how its places are described. */
  const read: { readonly before: number; readonly where: (place: number) => string }[] = [];
  return {
    where: (place) => {
      const file = read.findLast(({ before }) => before < place)!;
      return file.where(place - file.before);
    },
    rows: rowsOf(files, { shapeOf, meter, read }),
  };
}

async function* rowsOf(
  files: readonly Entry[],
  state: { shapeOf: ShapeOf; meter: Meter; read: { before: number; where: (place: number) => string }[] },
): AsyncGenerator<Row> {
  const { shapeOf, meter, read } = state;
  let before = 0;
  let bytes = 0;
  for (const { path, name } of files) {
    let last = 1;
    const shape = shapeOf(path, meter);
    read.push({ before, where: shape?.where ?? (() => path) });
    for await (const row of shape?.rows ?? documentRows(path, name, 1)) {
      last = row.place;
      yield { ...row, place: before + row.place };
    }
    before += last;
    bytes += statSync(path).size;
    meter.read = bytes;
  }
}

function filesUnder(folder: string, prefix = ""): Entry[] {
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !name.startsWith("."));
  return entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      const name = `${prefix}${entry.name}`;
      if (entry.isDirectory()) return filesUnder(path, `${name}/`);
      return entry.isFile() ? [{ path, name }] : [];
    });
}
