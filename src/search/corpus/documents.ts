/** @file Reads documents (Markdown, plain text, HTML) and cuts them into passages of 100 words. */
import { readFileSync, statSync } from "node:fs";
import { basename, extname } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { inHundredWords } from "./hundred-words.ts";
import { type Row, rowsAt } from "./row.ts";

interface Document {
  readonly title: string;
  readonly text: string;
}

const readers: Readonly<Record<string, (content: string) => Document | Promise<Document>>> = {
  ".txt": (text) => ({ title: "", text }),
  ".md": readMarkdown,
  ".markdown": readMarkdown,
  ".html": readHtml,
  ".htm": readHtml,
};
const LARGEST = 64 << 20;

export const isDocument = (file: string) => extname(file).toLowerCase() in readers;

/**
 * @param name the document's path in its folder: its passages are called `<name>#1`, `#2` …
 * @param place the place that all its passages get
 */
export async function* documentRows(file: string, name: string, place: number): AsyncGenerator<Row> {
  const hint = "give documents of text in UTF-8";
  const { size } = statSync(file);
  if (size > LARGEST) return yield { place, problem: `${size} bytes are more than a document has`, hint };
  let content: string;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (cause) {
    return yield { place, problem: `it cannot be read as UTF-8 (${messageOf(cause)})`, hint };
  }
  const document = await readers[extname(file).toLowerCase()]!(content);
  const title = document.title.trim() || basename(file, extname(file));
  const parts = inHundredWords(document.text).map((text, i) => ({ id: `${name}#${i + 1}`, title, text }));
  yield* rowsAt(place, parts, hint);
}

/** The first heading is the title. Markdown syntax stays in the text; the analyzer drops it. */
function readMarkdown(content: string): Document {
  const text = content.replace(/^---\r?\n[\s\S]*?\r?\n---\r?\n/, ""); // front matter
  return { title: firstHeading(text), text };
}

/** By lines, because one pattern for the whole takes cubic time on a heading with thousands of spaces. */
function firstHeading(text: string): string {
  for (let from = 0; from < text.length; ) {
    const newline = text.indexOf("\n", from);
    const end = newline < 0 ? text.length : newline;
    if (text[from] === "#") {
      const mark = /^#{1,6}[ \t]/.exec(text.slice(from, from + 7))?.[0];
      const title = mark === undefined ? "" : withoutClosing(text.slice(from + mark.length, end).trim());
      if (title !== "") return title;
    }
    from = end + 1;
  }
  return "";
}

/** A heading may end in "#" too. */
function withoutClosing(heading: string): string {
  let end = heading.length;
  while (end > 1 && heading[end - 1] === "#") end--;
  return heading.slice(0, end).trimEnd();
}

/** Loaded only when needed: most corpora have no HTML, and its parser takes megabytes. */
async function readHtml(content: string): Promise<Document> {
  const html = await import("./html.ts");
  return html.readHtml(content);
}
