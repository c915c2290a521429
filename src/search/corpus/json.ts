/** @file JSON lines, and JSON as one array or object. */
import { readFileSync } from "node:fs";
import { DataError, messageOf } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import { textLines } from "./lines.ts";
import { checked, isSentences, joinSentences, type Meter, type Row, readObject, rowsAt } from "./row.ts";

const LINES_HINT =
  'expected {"id", "title", "text"} or {"id", "contents": "\\"Title\\"\\ntext"} with strings, or a page of KILT';

export async function* jsonlRows(file: string, meter: Meter): AsyncGenerator<Row> {
  let row = 0;
  for await (const { line, text } of textLines(file, meter)) {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      yield { place: line, problem: `not JSON (${messageOf(cause)})`, hint: LINES_HINT };
      continue;
    }
    yield* rowsAt(line, readObject(value, String(row++)), LINES_HINT);
  }
}

const HINT = 'expected an array of {"title", "text"}, or an object from title to text or a list of sentences';

export async function* jsonRows(file: string, meter: Meter): AsyncGenerator<Row> {
  let row = 0;
  for (const read of passagesIn(file)) yield* rowsAt(++row, read, HINT);
  meter.read = meter.total;
}

function* passagesIn(file: string): Generator<readonly Passage[] | string> {
  const value = parseFile(file);
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) yield readObject(item, String(i));
  } else if (typeof value === "object" && value !== null) {
    for (const [title, text] of Object.entries(value)) {
      yield typeof text === "string" || isSentences(text)
        ? checked({ id: title, title, text: joinSentences(text) })
        : `"${title}" has neither text nor sentences`;
    }
  } else {
    throw new DataError(`${file} is ${value === null ? "null" : `a ${typeof value}`}`, { hint: HINT });
  }
}

function parseFile(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8").replace(/^\uFEFF/, ""));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const isTooLarge = code === "ERR_STRING_TOO_LONG" || code === "ERR_FS_FILE_TOO_LARGE";
    const hint = isTooLarge ? "a corpus this large must be .jsonl or .tsv" : HINT;
    throw new DataError(`${file} cannot be read as JSON: ${messageOf(cause)}`, { hint, cause });
  }
}
