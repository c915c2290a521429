/** @file JSON lines that a run appends to, and whose last line may be incomplete after a crash. */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { CheckpointError, messageOf } from "../../base/errors.ts";

/** Writes the line in one call, then fsyncs: a checkpoint never includes a step whose record is lost. */
export function appendLine(file: string, line: string): void {
  const handle = openSync(file, "a");
  const { size } = fstatSync(handle);
  try {
    const bytes = Buffer.from(`${line}\n`);
    for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at);
    fsyncSync(handle);
  } catch (cause) {
    ftruncateSync(handle, size); // on a full disk only the beginning of the line may be written
    throw cause;
  } finally {
    closeSync(handle);
  }
}

/** An incomplete last line is ignored; an invalid line before it is an error. */
export function readLines<T>(file: string): { text: string; value: T }[] {
  let content: string;
  try {
    content = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw cause;
  }
  const lines = content.split("\n").slice(0, -1); // text after the last line end is incomplete, or empty
  return lines.flatMap((text, i) => {
    try {
      return [{ text, value: JSON.parse(text) as T }];
    } catch (cause) {
      if (i === lines.length - 1) return [];
      throw new CheckpointError(`${file}:${i + 1} is damaged: ${messageOf(cause)}`, {
        hint: "restore the file from a copy, or remove that line",
        cause,
      });
    }
  });
}
