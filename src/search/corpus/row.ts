/** @file The output of every corpus reader, and the interpretation of one row of JSON. */
import type { Passage } from "../../protocol/passage.ts";
import { inHundredWords } from "./hundred-words.ts";

/** A position in a file, from 1 (a line or an item), with the passage there or with what is wrong with it. */
export type Row =
  | { readonly place: number; readonly passage: Passage }
  | { readonly place: number; readonly problem: string; readonly hint: string };

/** How a file or folder of one format is read. */
export interface Shape {
  readonly where: (place: number) => string;
  readonly rows: AsyncIterable<Row>;
}

/** Progress of reading, in bytes on disk. */
export interface Meter {
  read: number;
  total: number;
}

export function* rowsAt(place: number, read: readonly Passage[] | string, hint: string): Generator<Row> {
  if (typeof read === "string") yield { place, problem: read, hint };
  else for (const passage of read) yield { place, passage };
}

/** @returns the passage, or what is wrong with it */
export function checked(passage: Passage): readonly Passage[] | string {
  if (passage.id.trim() === "") return "the id is empty";
  if (passage.title.trim() === "" && passage.text.trim() === "") return "title and text are both empty";
  return [passage];
}

/**
 * Reads `{id, title, text}`, `{id, contents}` of Search-R1, `{id, title, text: [sentences]}` of HotpotQA's abstracts,
 * or a page of KILT, `{wikipedia_id, wikipedia_title, text: [paragraphs]}`, which gives many passages.
 * @param fallbackId used if the row has no id
 * @returns its passages, or what is wrong with it
 */
export function readObject(value: unknown, fallbackId: string): readonly Passage[] | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "not an object";
  const row = value as Record<string, unknown>;
  if ("wikipedia_title" in row) return readKiltPage(row, fallbackId);
  const { id = row["_id"] ?? fallbackId, title = "", text, contents } = row;
  if (!isId(id)) return "id is neither a string nor a whole number";
  if (typeof title !== "string") return "title is not a string";
  if (typeof text === "string") return checked({ id: String(id), title, text });
  if (isSentences(text)) return checked({ id: String(id), title, text: joinSentences(text) });
  if (typeof contents === "string") return checked({ id: String(id), ...splitContents(contents, title) });
  return text === undefined && contents === undefined ? "neither text nor contents" : "its text is not a string";
}

// Parquet has 64-bit integers
const isId = (id: unknown): id is string | number | bigint =>
  typeof id === "string" || typeof id === "bigint" || Number.isSafeInteger(id);

function readKiltPage(row: Record<string, unknown>, fallbackId: string): readonly Passage[] | string {
  const { wikipedia_id: id = row["_id"] ?? fallbackId, wikipedia_title: title, text } = row;
  if (!isId(id)) return "wikipedia_id is neither a string nor a whole number";
  if (typeof title !== "string") return "wikipedia_title is not a string";
  if (!isSentences(text)) return "its text is not a list of paragraphs";
  const paragraphs = text
    .filter((paragraph, i) => !paragraph.startsWith("Section::::") && !(i === 0 && paragraph.trim() === title.trim()))
    .map((paragraph) => paragraph.replace(/^BULLET::::-?\s*/, ""));
  const passages = inHundredWords(paragraphs.join("\n")).map((part, i) => ({ id: `${id}-${i}`, title, text: part }));
  return passages.length > 0 ? passages : "the page has no text";
}

export const isSentences = (text: unknown): text is readonly string[] =>
  Array.isArray(text) && text.every((sentence) => typeof sentence === "string");

/** HotpotQA's sentences include their spaces; others do not. */
export function joinSentences(text: string | readonly string[]): string {
  if (typeof text === "string") return text;
  const parts: string[] = [];
  let last = " "; // the last letter so far
  for (const sentence of text) {
    if (sentence !== "" && last.trim() !== "" && sentence[0]!.trim() !== "") parts.push(" ");
    parts.push(sentence);
    last = sentence.at(-1) ?? last;
  }
  return parts.join("");
}

/** Search-R1 puts the title in quotes on the first line. */
function splitContents(contents: string, title: string): { title: string; text: string } {
  const end = contents.indexOf("\n");
  if (end < 0) return { title, text: contents };
  return { title: contents.slice(0, end).replace(/^"(.*)"$/, "$1"), text: contents.slice(end + 1) };
}
