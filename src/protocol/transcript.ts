import type { Author } from "./tape.ts";

/**
 * One stretch of a tape, read aloud. Made by the one parser, from policy runs only. What search wrote becomes
 * "documents" and what a tool wrote "observation" because of who wrote it, never because of what it says.
 */
export interface Part {
  readonly kind: "thought" | "query" | "action" | "documents" | "observation" | "answer" | "stray";
  readonly author: Author;
  /** Of an action: which one, as the protocol names it. */
  readonly action?: string;
  /** Without its tags; of a stray tag, the tag. */
  readonly text: string;
  /** Token range [from, to) on the tape, tags included. A token that ends one part and begins the next is in both. */
  readonly from: number;
  readonly to: number;
  /** True where its closing tag was written. A thought that a query interrupts is not closed. */
  readonly closed?: true;
  /** Of a stray part: true where it is a tag of the protocol in a place where none belongs. */
  readonly tag?: true;
}

/** Whether the environment wrote it: documents of search, or what another tool returned. */
export function isObservation({ kind }: Part): boolean {
  return kind === "documents" || kind === "observation";
}
