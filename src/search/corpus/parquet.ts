import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { DataError, messageOf } from "../../base/errors.ts";
import { type Meter, type Row, readObject, rowsAt } from "./row.ts";

const columnNames = ["id", "_id", "title", "text", "contents", "wikipedia_id", "wikipedia_title"];
const HINT = "expected columns id, title and text, or id and contents";
const CHUNK_ROWS = 10_000;

/** Reads columns with the same names as the keys of JSON lines, a part of a row group at a time. */
export async function* parquetRows(file: string, meter: Meter): AsyncGenerator<Row> {
  const handle = openSync(file, "r");
  try {
    const input = bufferOf(handle);
    const metadata = await reading(file, () => parquetMetadataAsync(input));
    const columns = columnsOf(file, metadata);
    const before = meter.read;
    const rows = Number(metadata.num_rows);
    let place = 0;
    for (const group of metadata.row_groups) {
      const groupEnd = place + Number(group.num_rows);
      while (place < groupEnd) {
        const range = { rowStart: place, rowEnd: Math.min(place + CHUNK_ROWS, groupEnd) };
        const read = await reading(file, () =>
          parquetReadObjects({ file: input, metadata, columns, compressors, ...range }),
        );
        for (const row of read) {
          meter.read = before + Math.round((input.byteLength * ++place) / rows);
          yield* rowsAt(place, readObject(withoutNulls(row), String(place - 1)), HINT);
        }
      }
    }
  } finally {
    closeSync(handle);
  }
}

function columnsOf(file: string, metadata: FileMetaData): string[] {
  const there = parquetSchema(metadata).children.map(({ element }) => element.name);
  const columns = there.filter((name) => columnNames.includes(name));
  if (!columns.includes("text") && !columns.includes("contents"))
    throw new DataError(`${file} has the columns ${there.join(", ")}`, { hint: HINT });
  return columns;
}

/** A missing value is null in Parquet; in JSON lines it is absent. */
function withoutNulls(row: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null && value !== undefined));
}

function bufferOf(handle: number): AsyncBuffer {
  const byteLength = fstatSync(handle).size;
  return {
    byteLength,
    slice: (from, to = byteLength) => {
      const bytes = new Uint8Array(to - from);
      for (let at = 0; at < bytes.length; ) {
        const count = readSync(handle, bytes, at, bytes.length - at, from + at);
        if (count === 0) throw new Error("it ends early");
        at += count;
      }
      return bytes.buffer;
    },
  };
}

/** On a damaged file the Parquet parser can throw anything. */
async function reading<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new DataError(`${file} cannot be read as Parquet: ${messageOf(cause)}`, {
      hint: "it must be a whole Parquet file; write it again, or give JSON lines",
      cause,
    });
  }
}
