import type { Author } from "./tape.ts";

/**
 * One stretch of a tape, read aloud. Made by the one parser, from policy runs only; search runs become
 * "documents" because search wrote them, never because of what they say.
 */
export interface Part {
  readonly kind: "thought" | "query" | "documents" | "answer" | "stray";
  readonly author: Author;
  /** Without its tags. */
  readonly text: string;
  /** Token range [from, to) on the tape, tags included. */
  readonly from: number;
  readonly to: number;
}
