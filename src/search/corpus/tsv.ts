import type { Passage } from "../../protocol/passage.ts";
import { textLines } from "./lines.ts";
import { checked, type Meter, type Row, rowsAt } from "./row.ts";

const HINT =
  'expected a header line that names the columns id, title and text, or lines "idx⇥Title: … Text: …" or "idx⇥title   text"';

/** Reads columns named in a header line, or one of R1-Searcher's two line formats. */
export async function* tsvRows(file: string, meter: Meter): AsyncGenerator<Row> {
  let read: ((text: string) => readonly Passage[] | string) | undefined;
  for await (const { line, text } of textLines(file, meter)) {
    if (read === undefined) {
      const header = headerOf(text);
      read = header === undefined ? readR1Line : (row) => readColumns(header, row);
      if (header !== undefined) continue;
    }
    yield* rowsAt(line, read(text), HINT);
  }
}

interface Header {
  readonly id: number;
  readonly title: number;
  readonly text: number;
  readonly columns: number;
  /** DPR's dump (id, text, title) quotes its text as CSV does, with inner quotes doubled. */
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

function readColumns(header: Header, row: string): readonly Passage[] | string {
  const values = row.split("\t");
  if (values.length !== header.columns) return `${values.length} columns where the header names ${header.columns}`;
  const text = values[header.text]!;
  return checked({
    id: values[header.id]!,
    title: header.title < 0 ? "" : values[header.title]!,
    text: header.quoted && /^".*"$/.test(text) ? text.slice(1, -1).replaceAll('""', '"') : text,
  });
}

function readR1Line(row: string): readonly Passage[] | string {
  const tab = row.indexOf("\t");
  if (tab < 0) return "no tab in the line";
  const rest = row.slice(tab + 1);
  const match = /^Title: (.*?) Text: *(.*)$/s.exec(rest) ?? /^(.*?) {3}(.*)$/s.exec(rest);
  if (match === null) return "no title apart from the text";
  return checked({ id: row.slice(0, tab), title: match[1]!, text: match[2]! });
}
