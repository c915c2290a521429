/**
 * @file The one grammar. It reads what the policy wrote, byte by byte, and is told where search wrote: it ends the
 * turns of a rollout, scores format and is what a studio shows. Tags may be one token or many, and the last piece of
 * a tag may carry further characters.
 */
import { documentText } from "./documents.ts";
import { type Protocol, protocolTags } from "./protocol.ts";
import type { Tape } from "./tape.ts";
import type { Part } from "./transcript.ts";

/** A query or an answer was closed by the token just read; `part` is its index in the transcript. */
export interface ParserEvent {
  readonly kind: "query" | "answer";
  readonly text: string;
  readonly part: number;
}

/** Between tags: in a thought, after `</think>`, or after the closed answer. */
type Place = "thought" | "after-thought" | "done";

/**
 * The prompt has opened the thought. A query may come anywhere before the answer; whatever stands where it does not
 * belong becomes a stray part. Blank text between parts belongs to the part after it.
 */
export class TranscriptParser {
  readonly #protocol: Protocol;
  readonly #tags: ReadonlySet<string>;
  /** Every proper beginning of a tag. */
  readonly #beginnings: ReadonlySet<string>;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #parts: Part[] = [];
  #place: Place = "thought";
  #inside: "query" | "answer" | undefined;
  #text = "";
  /** Tokens of the first and last character of the part being read. */
  #from = 0;
  #last = 0;
  /** What may become a tag, and the token of each of its characters. */
  #held = "";
  #heldAt: number[] = [];
  /** End of the parts made so far, in tokens. */
  #covered = -1;
  #index = -1;
  #event: ParserEvent | undefined;

  constructor(protocol: Protocol) {
    this.#protocol = protocol;
    const tags = protocolTags(protocol);
    this.#tags = new Set(tags);
    this.#beginnings = new Set(
      tags.flatMap((tag) => Array.from({ length: tag.length - 1 }, (_, i) => tag.slice(0, i + 1))),
    );
  }

  /** The transcript so far, without the part being read. */
  get parts(): readonly Part[] {
    return this.#parts;
  }

  /**
   * Reads one token of the policy.
   * @param index its place on the tape
   * @returns the first query or answer that it closes
   */
  policyToken(index: number, bytes: Uint8Array): ParserEvent | undefined {
    if (this.#covered < 0) this.#covered = index;
    this.#index = index;
    this.#event = undefined;
    this.#read(this.#decoder.decode(bytes, { stream: true }));
    return this.#event;
  }

  /** Search wrote the tokens [from, to), which read `text`. A tag never spans them. */
  searchRun(from: number, to: number, text: string): void {
    this.#flush();
    this.#parts.push({ kind: "documents", author: "search", text: documentText(this.#protocol, text), from, to });
    this.#covered = to;
  }

  /** The whole transcript, with what is still open. */
  finish(): readonly Part[] {
    this.#flush();
    return this.#parts;
  }

  #read(text: string): void {
    for (const letter of text.split("")) {
      this.#held += letter;
      this.#heldAt.push(this.#index);
      this.#settle();
    }
  }

  /** Turns what is held into a tag or text as far as that is certain. */
  #settle(): void {
    while (this.#held !== "") {
      if (this.#tags.has(this.#held)) {
        const [tag, from] = [this.#held, this.#heldAt[0]!];
        this.#held = "";
        this.#heldAt = [];
        this.#tag(tag, from);
        return;
      }
      if (this.#beginnings.has(this.#held)) return;
      this.#release();
    }
  }

  /** The first character held is no part of a tag. */
  #release(): void {
    const at = this.#heldAt.shift()!;
    if (this.#text === "" && !this.#inside) this.#from = at;
    this.#text += this.#held[0]!;
    this.#last = at;
    this.#held = this.#held.slice(1);
  }

  /** Ends the reading of text: incomplete characters and beginnings of tags are text after all. */
  #flush(): void {
    this.#read(this.#decoder.decode());
    while (this.#held !== "") {
      this.#release();
      this.#settle();
    }
    this.#endText();
  }

  #tag(tag: string, from: number): void {
    const { think, query, answer } = this.#protocol;
    const inside = this.#inside;
    if (inside && tag === this.#protocol[inside].close) {
      this.#last = this.#index;
      this.#event ??= { kind: inside, text: this.#text, part: this.#parts.length };
      this.#push(inside, { closed: true });
      if (inside === "answer") this.#place = "done";
      return;
    }
    if (this.#place === "thought" && tag === think.close) {
      if (inside) this.#endText();
      if (this.#text === "") this.#from = from;
      this.#last = this.#index;
      this.#push("thought", { closed: true });
      this.#place = "after-thought";
      return;
    }
    this.#endText();
    this.#from = from;
    this.#last = this.#index;
    if (this.#place !== "done" && tag === query.open) this.#inside = "query";
    else if (this.#place !== "done" && tag === answer.open) this.#inside = "answer";
    else {
      this.#text = tag;
      this.#push("stray", { tag: true });
    }
  }

  /** Makes a part of the text read so far: an unclosed one, or none where it is blank and outside any tag. */
  #endText(): void {
    if (this.#inside) this.#push(this.#inside);
    else if (this.#text.trim() !== "") this.#push(this.#place === "thought" ? "thought" : "stray");
    else this.#text = "";
  }

  #push(kind: Part["kind"], marks: Pick<Part, "closed" | "tag"> = {}): void {
    const [from, to] = [Math.min(this.#covered, this.#from), this.#last + 1];
    this.#parts.push({ kind, author: "policy", text: this.#text, from, to, ...marks });
    this.#covered = to;
    this.#text = "";
    this.#inside = undefined;
  }
}

/**
 * Reads a whole tape: equal to reading it while it grew.
 * @param bytesOf what a token reads as; nothing for ids that end a reply (`policyBytes`)
 */
export function parseTape(
  protocol: Protocol,
  { tokens, runs }: Tape,
  bytesOf: (id: number) => Uint8Array,
): readonly Part[] {
  const parser = new TranscriptParser(protocol);
  let at = 0;
  for (const { author, length } of runs) {
    const end = at + length;
    if (author === "policy") for (let i = at; i < end; i++) parser.policyToken(i, bytesOf(tokens[i]!));
    if (author === "search") parser.searchRun(at, end, textOf(tokens.subarray(at, end), bytesOf));
    at = end;
  }
  return parser.finish();
}

/** What the parser reads of each token: the end of a reply has no text. */
export function policyBytes(tokenizer: {
  readonly eosIds: readonly number[];
  bytesOf(id: number): Uint8Array;
}): (id: number) => Uint8Array {
  const ends = new Set(tokenizer.eosIds);
  return (id) => (ends.has(id) ? nothing : tokenizer.bytesOf(id));
}

const nothing = new Uint8Array();

export function textOf(tokens: Int32Array, bytesOf: (id: number) => Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let text = "";
  for (const id of tokens) text += decoder.decode(bytesOf(id), { stream: true });
  return text + decoder.decode();
}
