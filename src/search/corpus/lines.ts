import { createReadStream } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import { createGunzip } from "node:zlib";
import { DataError, messageOf } from "../../base/errors.ts";
import type { Meter } from "./row.ts";

/** A longer line is not a row of a corpus, and would have to be held in memory completely. */
const LONGEST_LINE = 64 << 20;

/**
 * The lines of a text file (plain or .gz), numbered from 1; blank lines are skipped. Only "\n" and "\r\n" end a line,
 * because other line separators occur inside passages.
 * @throws DataError if the file cannot be read, or a line is too long
 */
export async function* textLines(
  file: string,
  meter: Meter,
): AsyncGenerator<{ readonly line: number; readonly text: string }> {
  let line = 0;
  let rest: string[] = [];
  let restLength = 0;
  const numbered = (text: string) => ({ line: ++line, text: text.endsWith("\r") ? text.slice(0, -1) : text });
  try {
    for await (const chunk of textChunks(file, meter)) {
      const lines = chunk.split("\n");
      const open = lines.pop()!;
      if (lines.length > 0) {
        lines[0] = rest.join("") + lines[0]!;
        rest = [];
        restLength = 0;
      }
      rest.push(open);
      restLength += open.length;
      if (restLength > LONGEST_LINE) throw tooLong(file, line + lines.length + 1);
      for (const text of lines) {
        const row = numbered(text);
        if (row.text.trim() !== "") yield row;
      }
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === undefined) throw cause; // reading the lines failed
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, {
      hint: "it must be a text file, gzipped where its name ends in .gz",
      cause,
    });
  }
  const last = rest.join("");
  if (last.trim() !== "") yield numbered(last);
}

function tooLong(file: string, line: number): DataError {
  return new DataError(`${file}:${line}: the line is longer than ${LONGEST_LINE >> 20} MiB`, {
    hint: "give one passage per line",
  });
}

async function* textChunks(file: string, meter: Meter): AsyncGenerator<string> {
  const raw = createReadStream(file, { highWaterMark: 1 << 18 });
  const input = file.endsWith(".gz") ? raw.pipe(createGunzip()) : raw;
  if (input !== raw) raw.once("error", (error) => input.destroy(error));
  const decoder = new StringDecoder("utf8");
  const before = meter.read;
  let first = true;
  try {
    for await (const chunk of input) {
      meter.read = before + raw.bytesRead;
      const text = decoder.write(chunk as Buffer);
      yield first ? text.replace(/^\uFEFF/, "") : text;
      first = false;
    }
    yield decoder.end();
  } finally {
    raw.destroy();
  }
}
