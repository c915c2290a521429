/** @file What an environment adds to a tape. Its text is untrusted: it becomes neither special tokens nor tags. */
import type { Tokenizer } from "../base/tokenizer.ts";
import type { Passage } from "./passage.ts";
import { type Protocol, protocolTags } from "./protocol.ts";

/** Text with its origin: `template` is ours and may hold tags, anything else is encoded as plain text. */
export interface Segment {
  readonly text: string;
  readonly template: boolean;
}

export interface DocumentOptions {
  /** "(1) Title: text" instead of "(1) text". */
  readonly titles: boolean;
  /** Words kept of each passage; 0 keeps all. */
  readonly maxWords: number;
}

export function documentBlock(protocol: Protocol, passages: readonly Passage[], options: DocumentOptions): Segment[] {
  const lines = passages.map((passage, i) => `(${i + 1}) ${passageText(protocol, passage, options)}\n`);
  return block(protocol, lines.length > 0 ? lines.join("") : `${protocol.noHits}\n`);
}

/** What a tool returned, on lines of its own between the protocol's document tags. */
export function observationBlock(protocol: Protocol, text: string): Segment[] {
  return block(protocol, `${neutralise(protocol, text)}\n`);
}

function block({ documents, glue }: Protocol, untrusted: string): Segment[] {
  return [
    { text: `${glue.beforeDocuments}${documents.open}\n`, template: true },
    { text: untrusted, template: false },
    { text: `${documents.close}${glue.afterDocuments}`, template: true },
  ];
}

/** What stands between the tags of a block that `documentBlock` made. */
export function documentText({ documents, glue }: Protocol, block: string): string {
  const before = `${glue.beforeDocuments}${documents.open}\n`;
  const after = `${documents.close}${glue.afterDocuments}`;
  return block.startsWith(before) && block.endsWith(after)
    ? block.slice(before.length, block.length - after.length)
    : block;
}

/** The words that a passage is shown with. @param maxWords 0 keeps all */
export function shownWords(text: string, maxWords: number): string {
  const words = text.split(/\s+/).filter((word) => word !== "");
  return (maxWords > 0 ? words.slice(0, maxWords) : words).join(" ");
}

function passageText(protocol: Protocol, { title, text }: Passage, { titles, maxWords }: DocumentOptions): string {
  const body = shownWords(text, maxWords);
  return neutralise(protocol, titles ? `${title.trim().replace(/\s+/g, " ")}: ${body}` : body);
}

/**
 * Takes the bracket from everything that looks like a tag of the protocol or a control token, in any case: where tags
 * are ordinary pieces, plain encoding alone would not keep a passage from closing its own block.
 */
export function neutralise(protocol: Protocol, text: string): string {
  return text.replace(lookAlikes(protocol), (match) => `‹${match.slice(1)}`);
}

/** The same segments with every stretch of untrusted text neutralised as a whole, so that no tag is put together from two. */
export function neutraliseSegments(protocol: Protocol, segments: readonly Segment[]): Segment[] {
  const joined: Segment[] = [];
  for (const segment of segments) {
    const last = joined.at(-1);
    if (last && !last.template && !segment.template)
      joined[joined.length - 1] = { text: last.text + segment.text, template: false };
    else joined.push(segment);
  }
  return joined.map(({ text, template }) => ({ text: template ? text : neutralise(protocol, text), template }));
}

const patterns = new WeakMap<Protocol, RegExp>();

function lookAlikes(protocol: Protocol): RegExp {
  let pattern = patterns.get(protocol);
  if (!pattern) {
    const tags = protocolTags(protocol).map((tag) => tag.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    pattern = new RegExp(["<(?=\\|)", ...tags].join("|"), "giu");
    patterns.set(protocol, pattern);
  }
  return pattern;
}

export function encodeSegments(tokenizer: Tokenizer, segments: readonly Segment[]): Int32Array {
  const pieces = segments.map(({ text, template }) =>
    template ? tokenizer.encodeTemplate(text) : tokenizer.encodeText(text),
  );
  const ids = new Int32Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    ids.set(piece, at);
    at += piece.length;
  }
  return ids;
}
