/** @file Reads corpora in the file formats that are common in this field, one passage at a time. */
import { statSync } from "node:fs";
import { DataError, messageOf } from "../base/errors.ts";
import type { Passage } from "../protocol/passage.ts";
import { folderShape } from "./corpus/folder.ts";
import { jsonlRows, jsonRows } from "./corpus/json.ts";
import type { Meter, Row, Shape } from "./corpus/row.ts";
import { tsvRows } from "./corpus/tsv.ts";
import { SeenIds } from "./seen-ids.ts";

export interface ReadOptions {
  /** Is told how far reading has progressed. */
  readonly meter?: Meter;
  /** Receives invalid rows, which are then skipped. Without it the first one is an error. */
  readonly onBadRow?: (error: DataError) => void;
}

/**
 * Reads a corpus in file order.
 *
 * - `.tsv`: columns named in a header line (id, title, text in any order), or R1-Searcher's `idx⇥Title: T Text: …` and
 *   `idx⇥T   text`
 * - `.jsonl`: `{id, title, text}`, Search-R1's `{id, contents: "\"Title\"\ntext"}`, HotpotQA's abstracts with a list of
 *   sentences, or KILT's pages, cut into passages of 100 words
 * - `.json`: an array of `{title, text}` with or without id, or an object from title to text or sentences
 * - `.parquet`: columns as the keys of `.jsonl`
 * - a folder: its `.md`, `.txt` and `.html` documents, cut into passages of 100 words, and its corpus files, by name
 *
 * .tsv and .jsonl may be gzipped (`.gz`). Rows without an id get their number from 0; an object's titles are ids.
 * @throws DataError naming file and line: a bad row, an id that occurs twice, a file that cannot be read
 */
export async function* readCorpus(path: string, options: ReadOptions = {}): AsyncGenerator<Passage> {
  const seen = new SeenIds();
  const { where, rows } = openShape(path, options.meter ?? { read: 0, total: 0 });
  const bad = (message: string, hint: string) => {
    const error = new DataError(message, { hint });
    if (options.onBadRow === undefined) throw error;
    options.onBadRow(error);
  };
  for await (const row of rows) {
    if ("problem" in row) {
      bad(`${where(row.place)}: ${row.problem}`, row.hint);
      continue;
    }
    const { place, passage } = row;
    const earlier = seen.add(passage.id, place);
    if (earlier === undefined) yield passage;
    else
      bad(
        `${where(place)}: id "${passage.id}" occurs twice, first at ${where(earlier)}`,
        "give every passage an id of its own",
      );
  }
}

function openShape(path: string, meter: Meter): Shape {
  const found = statOf(path);
  if (found.isDirectory()) return folderShape(path, fileShape, meter);
  meter.total = found.size;
  const shape = fileShape(path, meter);
  if (shape !== undefined) return shape;
  throw new DataError(`${path} is not a known corpus format`, {
    hint: /\.bz2$/i.test(path)
      ? "decompress it first: bunzip2 FILE"
      : "give a .tsv, .jsonl (both also .gz), .json or .parquet file, or a folder of documents",
  });
}

function statOf(path: string) {
  try {
    return statSync(path);
  } catch (cause) {
    throw new DataError(`${path} cannot be read: ${messageOf(cause)}`, {
      hint: "give an existing file or folder",
      cause,
    });
  }
}

function fileShape(file: string, meter: Meter): Shape | undefined {
  const name = file.toLowerCase();
  const atLine = (line: number) => `${file}:${line}`;
  if (/\.tsv(\.gz)?$/.test(name)) return { where: atLine, rows: tsvRows(file, meter) };
  if (/\.jsonl(\.gz)?$/.test(name)) return { where: atLine, rows: jsonlRows(file, meter) };
  if (name.endsWith(".json")) return { where: (item) => `${file}: item ${item}`, rows: jsonRows(file, meter) };
  if (name.endsWith(".parquet")) return { where: (row) => `${file}: row ${row}`, rows: parquetRows(file, meter) };
  return undefined;
}

/** Loaded only when needed: most corpora are not Parquet, and its reader takes megabytes. */
async function* parquetRows(file: string, meter: Meter): AsyncGenerator<Row> {
  const parquet = await import("./corpus/parquet.ts");
  yield* parquet.parquetRows(file, meter);
}
