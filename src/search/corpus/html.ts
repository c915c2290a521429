/** @file Extracts the text of HTML with a streaming parser, so that no page is nested too deeply for it. */
import { Parser } from "htmlparser2";

const unread = new Set(["script", "style", "noscript", "template", "svg", "nav", "head", "iframe", "object"]);
/** Inline elements; any other element ends the line. */
const inline = new Set(
  "a abbr b bdi bdo cite code em font i kbd mark q s samp small span strong sub sup u var".split(" "),
);

/** The title and the visible text, one line per block. */
export function readHtml(content: string): { readonly title: string; readonly text: string } {
  const text: string[] = [];
  const title: string[] = [];
  const heading: string[] = [];
  const open = { unread: 0, title: 0, heading: 0 };
  const count = (name: string, by: number) => {
    if (unread.has(name)) open.unread += by;
    if (name === "title") open.title += by;
    if (name === "h1") open.heading += by;
    if (!inline.has(name)) text.push("\n");
  };
  const parser = new Parser({
    onopentagname: (name) => count(name, 1),
    onclosetag: (name) => count(name, -1),
    ontext: (piece) => {
      if (open.title > 0) title.push(piece);
      else if (open.unread === 0) text.push(piece);
      if (open.heading > 0 && open.unread === 0) heading.push(piece);
    },
  });
  parser.end(content);
  return { title: (title.join("").trim() || heading.join("")).replace(/\s+/g, " "), text: text.join("") };
}
