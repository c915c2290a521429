/** @file Corpus files in the shapes that this field uses, read as passages one at a time. */
import { readFileSync } from "node:fs";
import { DataError, messageOf } from "../base/errors.ts";
import type { Passage } from "../protocol/passage.ts";
import { textLines } from "./lines.ts";
import { SeenIds } from "./seen-ids.ts";

/** A passage and its place in the file, from 1: a line, or in .json an item. */
interface Row {
  readonly place: number;
  readonly passage: Passage;
}

/** How a file of one kind is read. Its errors say what is wrong and what was expected; the caller adds where. */
interface Shape {
  readonly where: (place: number) => string;
  readonly rows: AsyncIterable<Row> | Iterable<Row>;
}

/**
 * Reads a corpus in file order.
 *
 * - `.tsv`: columns named in a header line (id, title, text in any order), or R1-Searcher's `idx⇥Title: T Text: …` and
 *   `idx⇥T   text`
 * - `.jsonl`: `{id, title, text}`, or Search-R1's `{id, contents: "\"Title\"\ntext"}`
 * - `.json`: an array of `{title, text}` with or without id, or an object from title to text or sentences
 *
 * .tsv and .jsonl may be gzipped (`.gz`). Rows of JSON without an id get their number from 0; an object's titles are ids.
 * @throws DataError naming file and line: a bad row, an id that occurs twice, a file that cannot be read
 */
export async function* readCorpus(file: string): AsyncGenerator<Passage> {
  const seen = new SeenIds();
  const { where, rows } = shapeOf(file);
  for await (const { place, passage } of rows) {
    const earlier = seen.add(passage.id, place);
    if (earlier !== undefined) {
      throw new DataError(`${where(place)}: id "${passage.id}" occurs twice, first at ${where(earlier)}`, {
        hint: "give every passage an id of its own",
      });
    }
    yield passage;
  }
}

function shapeOf(file: string): Shape {
  const name = file.toLowerCase();
  const atLine = (line: number) => `${file}:${line}`;
  if (/\.tsv(\.gz)?$/.test(name)) return { where: atLine, rows: tsvRows(file) };
  if (/\.jsonl(\.gz)?$/.test(name)) return { where: atLine, rows: jsonlRows(file) };
  if (name.endsWith(".json")) return { where: (item) => `${file}: item ${item}`, rows: jsonRows(file) };
  throw new DataError(`${file} is no known kind of corpus`, {
    hint: "give a .tsv, .jsonl (both also .gz) or .json file",
  });
}

const TSV_HINT =
  'expected a header line that names the columns id, title and text, or lines "idx⇥Title: … Text: …" or "idx⇥title   text"';

async function* tsvRows(file: string): AsyncGenerator<Row> {
  let read: ((text: string) => Passage | string) | undefined;
  for await (const { line, text } of textLines(file)) {
    if (read === undefined) {
      const header = headerOf(text);
      read = header === undefined ? readR1Line : (row) => readColumns(header, row);
      if (header !== undefined) continue;
    }
    const passage = read(text);
    if (typeof passage === "string") throw new DataError(`${file}:${line}: ${passage}`, { hint: TSV_HINT });
    yield { place: line, passage };
  }
}

interface Header {
  readonly id: number;
  readonly title: number;
  readonly text: number;
  readonly columns: number;
  /** DPR's dump (id, text, title) writes its text as CSV does, in quotes with inner quotes doubled. */
  readonly quoted: boolean;
}

function headerOf(line: string): Header | undefined {
  const names = line.split("\t").map((name) => name.trim().toLowerCase());
  const header = {
    id: names.indexOf("id"),
    title: names.indexOf("title"),
    text: names.indexOf("text"),
    columns: names.length,
  };
  if (header.id < 0 || header.text < 0) return undefined;
  return { ...header, quoted: names.join() === "id,text,title" };
}

function readColumns(header: Header, row: string): Passage | string {
  const values = row.split("\t");
  if (values.length !== header.columns) return `${values.length} columns where the header names ${header.columns}`;
  const text = values[header.text]!;
  return checked({
    id: values[header.id]!,
    title: header.title < 0 ? "" : values[header.title]!,
    text: header.quoted && /^".*"$/.test(text) ? text.slice(1, -1).replaceAll('""', '"') : text,
  });
}

function readR1Line(row: string): Passage | string {
  const tab = row.indexOf("\t");
  if (tab < 0) return "no tab in the line";
  const rest = row.slice(tab + 1);
  const match = /^Title: (.*?) Text: *(.*)$/s.exec(rest) ?? /^(.*?) {3}(.*)$/s.exec(rest);
  if (match === null) return "no title apart from the text";
  return checked({ id: row.slice(0, tab), title: match[1]!, text: match[2]! });
}

const JSONL_HINT = 'expected {"id", "title", "text"} or {"id", "contents": "\\"Title\\"\\ntext"} with strings';

async function* jsonlRows(file: string): AsyncGenerator<Row> {
  let row = 0;
  for await (const { line, text } of textLines(file)) {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new DataError(`${file}:${line} is not JSON: ${messageOf(cause)}`, { hint: JSONL_HINT, cause });
    }
    const passage = readObject(value, String(row++));
    if (typeof passage === "string") throw new DataError(`${file}:${line}: ${passage}`, { hint: JSONL_HINT });
    yield { place: line, passage };
  }
}

const JSON_HINT = 'expected an array of {"title", "text"}, or an object from title to text or a list of sentences';

function* jsonRows(file: string): Generator<Row> {
  let row = 0;
  for (const passage of jsonPassages(file)) {
    row++;
    if (typeof passage === "string") throw new DataError(`${file}: item ${row}: ${passage}`, { hint: JSON_HINT });
    yield { place: row, passage };
  }
}

function* jsonPassages(file: string): Generator<Passage | string> {
  const value = parseJsonFile(file);
  if (Array.isArray(value)) {
    yield* value.map((item: unknown, i) => readObject(item, String(i)));
  } else if (typeof value === "object" && value !== null) {
    for (const [title, text] of Object.entries(value)) {
      const isText =
        typeof text === "string" || (Array.isArray(text) && text.every((sentence) => typeof sentence === "string"));
      yield isText
        ? checked({ id: title, title, text: joinSentences(text) })
        : `"${title}" has neither text nor sentences`;
    }
  } else {
    throw new DataError(`${file} is ${value === null ? "null" : `a ${typeof value}`}`, { hint: JSON_HINT });
  }
}

function parseJsonFile(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8").replace(/^\uFEFF/, ""));
  } catch (cause) {
    const isTooLarge =
      (cause as NodeJS.ErrnoException).code === "ERR_STRING_TOO_LONG" ||
      (cause as NodeJS.ErrnoException).code === "ERR_FS_FILE_TOO_LARGE";
    const hint = isTooLarge ? "a corpus this large must be .jsonl or .tsv" : JSON_HINT;
    throw new DataError(`${file} cannot be read as JSON: ${messageOf(cause)}`, { hint, cause });
  }
}

/** HotpotQA's sentences bring their own space; others do not. */
function joinSentences(text: string | readonly string[]): string {
  if (typeof text === "string") return text;
  return text.reduce(
    (joined, sentence) =>
      joined === "" || /^\s/.test(sentence) || /\s$/.test(joined) ? joined + sentence : `${joined} ${sentence}`,
    "",
  );
}

function readObject(value: unknown, fallbackId: string): Passage | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "not an object";
  const { id = fallbackId, title = "", text, contents } = value as Record<string, unknown>;
  if (typeof id !== "string" && !Number.isSafeInteger(id)) return "id is neither a string nor a whole number";
  if (typeof title !== "string") return "title is not a string";
  if (typeof text === "string") return checked({ id: String(id), title, text });
  if (typeof contents === "string") return checked({ id: String(id), ...splitContents(contents, title) });
  return text === undefined && contents === undefined ? "neither text nor contents" : "its text is not a string";
}

/** Search-R1 puts the title, quoted, on the first line. */
function splitContents(contents: string, title: string): { title: string; text: string } {
  const end = contents.indexOf("\n");
  if (end < 0) return { title, text: contents };
  return { title: contents.slice(0, end).replace(/^"(.*)"$/, "$1"), text: contents.slice(end + 1) };
}

function checked(passage: Passage): Passage | string {
  if (passage.id.trim() === "") return "the id is empty";
  if (passage.title.trim() === "" && passage.text.trim() === "") return "title and text are both empty";
  return passage;
}
