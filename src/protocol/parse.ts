/**
 * @file The one grammar. It reads what the policy wrote, byte by byte, and is told where the environment wrote: it ends the
 * turns of a rollout, scores format and is what a studio shows. Tags may be one token or many, and the last piece of
 * a tag may carry further characters.
 */
import { documentText } from "./documents.ts";
import { type Protocol, protocolTags } from "./protocol.ts";
import type { EnvironmentAuthor, Tape } from "./tape.ts";
import type { Part } from "./transcript.ts";

/** A query, an answer or another action was closed by the token just read; `part` is its index in the transcript. */
export interface ParserEvent {
  readonly kind: "query" | "answer" | "action";
  /** Of an action: which one, as the protocol names it. */
  readonly action?: string;
  readonly text: string;
  readonly part: number;
}

/** What an opening tag begins. */
interface Opened {
  readonly kind: ParserEvent["kind"];
  readonly action?: string;
  readonly close: string;
}

/** Between tags: in a thought, after `</think>`, or after the closed answer. */
type Place = "thought" | "after-thought" | "done";

interface TagTable {
  /** What each opening tag begins. */
  readonly opening: ReadonlyMap<string, Opened>;
  readonly tags: ReadonlySet<string>;
  /** Every proper beginning of a tag. */
  readonly beginnings: ReadonlySet<string>;
}

const tagTables = new WeakMap<Protocol, TagTable>();

/** Made once for each protocol: a parser is made for every attempt. */
function tagTable(protocol: Protocol): TagTable {
  const known = tagTables.get(protocol);
  if (known) return known;
  const { query, answer, actions = [] } = protocol;
  const tags = protocolTags(protocol);
  const table: TagTable = {
    opening: new Map<string, Opened>([
      ...actions.map(({ kind, open, close }): [string, Opened] => [open, { kind: "action", action: kind, close }]),
      [query.open, { kind: "query", close: query.close }],
      [answer.open, { kind: "answer", close: answer.close }],
    ]),
    tags: new Set(tags),
    beginnings: new Set(tags.flatMap((tag) => Array.from({ length: tag.length - 1 }, (_, i) => tag.slice(0, i + 1)))),
  };
  tagTables.set(protocol, table);
  return table;
}

/**
 * The prompt has opened the thought. A query or an action may come anywhere before the answer; whatever stands where it does not
 * belong becomes a stray part. Blank text between parts belongs to the part after it.
 */
export class TranscriptParser {
  readonly #protocol: Protocol;
  readonly #tags: ReadonlySet<string>;
  /** Every proper beginning of a tag. */
  readonly #beginnings: ReadonlySet<string>;
  /** What each opening tag begins. */
  readonly #opening: ReadonlyMap<string, Opened>;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #parts: Part[] = [];
  #place: Place = "thought";
  #inside: Opened | undefined;
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
    const { opening, tags, beginnings } = tagTable(protocol);
    this.#opening = opening;
    this.#tags = tags;
    this.#beginnings = beginnings;
  }

  /** The transcript so far, without the part being read. */
  get parts(): readonly Part[] {
    return this.#parts;
  }

  /**
   * Reads one token of the policy.
   * @param index its place on the tape
   * @returns the first query, answer or action that it closes
   */
  policyToken(index: number, bytes: Uint8Array): ParserEvent | undefined {
    if (this.#covered < 0) this.#covered = index;
    this.#index = index;
    this.#event = undefined;
    this.#read(this.#decoder.decode(bytes, { stream: true }));
    return this.#event;
  }

  /** The environment wrote the tokens [from, to), which read `text`. A tag never spans them. */
  environmentRun(author: EnvironmentAuthor, from: number, to: number, text: string): void {
    this.#flush();
    const kind = author === "search" ? "documents" : "observation";
    this.#parts.push({ kind, author, text: documentText(this.#protocol, text), from, to });
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
    const { think } = this.#protocol;
    const inside = this.#inside;
    if (inside && tag === inside.close) {
      const { kind, action } = inside;
      this.#last = this.#index;
      this.#event ??= { kind, ...(action === undefined ? {} : { action }), text: this.#text, part: this.#parts.length };
      this.#push(inside, { closed: true });
      if (kind === "answer") this.#place = "done";
      return;
    }
    if (this.#place === "thought" && tag === think.close) {
      if (inside) this.#endText();
      if (this.#text === "") this.#from = from;
      this.#last = this.#index;
      this.#push({ kind: "thought" }, { closed: true });
      this.#place = "after-thought";
      return;
    }
    this.#endText();
    this.#from = from;
    this.#last = this.#index;
    const opened = this.#place === "done" ? undefined : this.#opening.get(tag);
    if (opened) this.#inside = opened;
    else {
      this.#text = tag;
      this.#push({ kind: "stray" }, { tag: true });
    }
  }

  /** Makes a part of the text read so far: an unclosed one, or none where it is blank and outside any tag. */
  #endText(): void {
    if (this.#inside) this.#push(this.#inside);
    else if (this.#text.trim() !== "") this.#push({ kind: this.#place === "thought" ? "thought" : "stray" });
    else this.#text = "";
  }

  #push({ kind, action }: Pick<Part, "kind" | "action">, marks: Pick<Part, "closed" | "tag"> = {}): void {
    const [from, to] = [Math.min(this.#covered, this.#from), this.#last + 1];
    const named = action === undefined ? {} : { action };
    this.#parts.push({ kind, ...named, author: "policy", text: this.#text, from, to, ...marks });
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
    else if (author !== "prompt") parser.environmentRun(author, at, end, textOf(tokens.subarray(at, end), bytesOf));
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
