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
  return { title: /^#{1,6}\s+(.+?)\s*#*\s*$/m.exec(text)?.[1] ?? "", text };
}

/** Loaded only when needed: most corpora have no HTML, and its parser takes megabytes. */
async function readHtml(content: string): Promise<Document> {
  const html = await import("./html.ts");
  return html.readHtml(content);
}
