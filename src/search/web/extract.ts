/**
 * @file Turns the bytes of one page into its title and text. It runs in a worker, because parsing may take long or
 * crash.
 */
import { Readability } from "@mozilla/readability";
import { Parser } from "htmlparser2";
import { parseHTML } from "linkedom";
import { readHtml } from "../corpus/html.ts";
import { decodeText } from "./charset.ts";
import { pdfText } from "./pdf.ts";

/** "article": the main text of the page. "lines": all lines of three and more words, as R1-Searcher uses a page. */
export type ExtractAs = "article" | "lines";

export interface ExtractRequest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  readonly as: ExtractAs;
}

export interface PageText {
  readonly title: string;
  readonly text: string;
}

/** The bytes are not what their content type says, or contain no words. */
export class Unreadable extends Error {}

/** Browsers do not render deeper nesting; Readability takes a minute for 20,000 levels. */
const deepest = 512;
const mostElements = 50_000;
/** If the article found is shorter than this, the whole page is used. */
const leastArticle = 200;

export async function extract({ bytes, contentType, as }: ExtractRequest): Promise<PageText> {
  const page = await read(bytes, contentType, as);
  const text = as === "lines" ? longLines(page.text) : tidy(page.text);
  if (text === "") throw new Unreadable("it holds no words");
  return { title: page.title.replace(/\s+/g, " ").trim().slice(0, 300), text };
}

async function read(bytes: Uint8Array<ArrayBuffer>, contentType: string, as: ExtractAs): Promise<PageText> {
  const isPdf = new TextDecoder("latin1").decode(bytes.subarray(0, 5)) === "%PDF-";
  if (isPdf !== contentType.startsWith("application/pdf") && contentType !== "")
    throw new Unreadable(`its content type is ${contentType.split(";")[0]}, but its content is not`);
  if (isPdf) return pdfText(bytes);
  const text = decodeText(bytes, contentType);
  if (isBinary(text)) throw new Unreadable("it is not text");
  const isPlain = contentType.startsWith("text/plain") || (contentType === "" && !/<\w/.test(text.slice(0, 4096)));
  if (isPlain) return { title: "", text };
  if (as === "lines" || !isShallow(text)) return readHtml(text);
  return article(text) ?? readHtml(text);
}

/** At most one character in a hundred may be a control character; otherwise it is binary data or wrongly decoded. */
function isBinary(text: string): boolean {
  const head = text.slice(0, 65_536);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  const odd = head.match(/[\0-\x08\x0e-\x1a\x1c-\x1f\ufffd]/g)?.length ?? 0;
  return odd > Math.max(8, head.length / 100);
}

/** Whether the page's DOM is small enough to be built; determined without building it. */
function isShallow(html: string): boolean {
  let [depth, elements, isSmall] = [0, 0, true];
  const parser = new Parser({
    onopentagname() {
      if (++depth > deepest || ++elements > mostElements) isSmall = false;
    },
    onclosetag: () => void depth--,
  });
  const step = 1 << 16;
  for (let at = 0; at < html.length && isSmall; at += step) parser.write(html.slice(at, at + step));
  return isSmall;
}

function article(html: string): PageText | undefined {
  const { document } = parseHTML(html);
  const title = document.title ?? "";
  // scripts and styles are not text, and Readability would process them
  for (const element of document.querySelectorAll("script, style, noscript, template, svg, iframe")) element.remove();
  const found = new Readability(document as never, { maxElemsToParse: mostElements }).parse();
  if (!found?.content) return undefined;
  // its own textContent joins blocks without a space
  const { text } = readHtml(found.content);
  return text.trim().length < leastArticle ? undefined : { title: found.title || title, text };
}

const tidy = (text: string) =>
  text
    .split("\n")
    .map((line) => line.replace(/\s+/g, " ").trim())
    .filter((line) => line !== "")
    .join("\n");

const longLines = (text: string) =>
  tidy(text)
    .split("\n")
    .filter((line) => line.split(" ").length >= 3)
    .join("\n");
