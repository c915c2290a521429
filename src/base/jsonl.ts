import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { createGunzip } from "node:zlib";
import { DataError, messageOf } from "./errors.ts";

/** JSON that refuses NaN and Infinity, which `JSON.stringify` would silently turn into null. */
export function toJson(value: unknown, space?: number): string {
  return JSON.stringify(
    value,
    (key, item: unknown) => {
      if (typeof item === "number" && !Number.isFinite(item)) {
        throw new Error(`${key === "" ? "value" : `"${key}"`} is ${item}, which JSON cannot hold`);
      }
      return item;
    },
    space,
  );
}

/**
 * Rows of a JSON-lines file (plain or .gz), with their line numbers from 1. Blank lines are skipped.
 * @throws DataError naming file and line if a line is not JSON or the file cannot be read
 */
export async function* readJsonl(file: string): AsyncGenerator<{ line: number; value: unknown }> {
  const raw = createReadStream(file);
  const input = file.endsWith(".gz") ? raw.pipe(createGunzip()) : raw;
  let line = 0;
  try {
    const failed = new Promise<never>((_, reject) => raw.once("error", reject));
    failed.catch(() => {});
    if (input !== raw) raw.once("error", (error) => input.destroy(error));
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      line++;
      const trimmed = line === 1 ? text.replace(/^\uFEFF/, "").trim() : text.trim();
      if (trimmed === "") continue;
      let value: unknown;
      try {
        value = JSON.parse(trimmed);
      } catch (cause) {
        throw new DataError(`${file}:${line} is not JSON: ${messageOf(cause)}`, {
          hint: "each line must be one JSON object",
          cause,
        });
      }
      yield { line, value };
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}
