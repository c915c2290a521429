import { createReadStream } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import { createGunzip } from "node:zlib";
import { DataError, messageOf } from "../base/errors.ts";

/**
 * The lines of a text file (plain or .gz), with their numbers from 1; blank lines are passed over. Only "\n" and
 * "\r\n" end a line: other line separators occur inside passages.
 * @throws DataError where the file cannot be read
 */
export async function* textLines(file: string): AsyncGenerator<{ readonly line: number; readonly text: string }> {
  let line = 0;
  let rest = "";
  const numbered = (text: string) => ({ line: ++line, text: text.endsWith("\r") ? text.slice(0, -1) : text });
  try {
    for await (const chunk of textChunks(file)) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      for (const text of lines) {
        const row = numbered(text);
        if (row.text.trim() !== "") yield row;
      }
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === undefined) throw cause; // the reader of the lines threw
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, {
      hint: "it must be a text file, gzipped where its name ends in .gz",
      cause,
    });
  }
  if (rest.trim() !== "") yield numbered(rest);
}

async function* textChunks(file: string): AsyncGenerator<string> {
  const raw = createReadStream(file, { highWaterMark: 1 << 18 });
  const input = file.endsWith(".gz") ? raw.pipe(createGunzip()) : raw;
  if (input !== raw) raw.once("error", (error) => input.destroy(error));
  const decoder = new StringDecoder("utf8");
  let first = true;
  try {
    for await (const chunk of input) {
      const text = decoder.write(chunk as Buffer);
      yield first ? text.replace(/^\uFEFF/, "") : text;
      first = false;
    }
    yield decoder.end();
  } finally {
    raw.destroy();
  }
}
