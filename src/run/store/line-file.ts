/** @file JSON lines that a run appends to and a crash may tear. */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { CheckpointError, messageOf } from "../../base/errors.ts";

/** One write for the whole line, then fsync: a checkpoint never remembers a step whose record is lost. */
export function appendLine(file: string, line: string): void {
  const handle = openSync(file, "a");
  const { size } = fstatSync(handle);
  try {
    const bytes = Buffer.from(`${line}\n`);
    for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at);
    fsyncSync(handle);
  } catch (cause) {
    ftruncateSync(handle, size); // a full disk takes the beginning of a line
    throw cause;
  } finally {
    closeSync(handle);
  }
}

/** A torn last line is as good as never written; a bad one before it is damage. */
export function readLines<T>(file: string): { text: string; value: T }[] {
  let content: string;
  try {
    content = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw cause;
  }
  const lines = content.split("\n").slice(0, -1); // what follows the last line end is torn, or nothing
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
