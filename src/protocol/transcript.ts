import type { Author } from "./tape.ts";

/**
 * One stretch of a tape, read aloud. Made by the one parser, from policy runs only; search runs become
 * "documents" because search wrote them, never because of what they say.
 */
export interface Part {
  readonly kind: "thought" | "query" | "documents" | "answer" | "stray";
  readonly author: Author;
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
