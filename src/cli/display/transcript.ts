import { createColors } from "picocolors";
import type { Author } from "../../protocol/tape.ts";
import type { ShownAttempt } from "../../run/store/evaluation.ts";
import { printable } from "../output.ts";

export interface TranscriptWriter {
  /** The next part of a tape; text of one author may come in several calls. */
  write(author: Author, text: string): void;
  /** Ends the last line. */
  end(): void;
}

/** Every line shows its author in the margin and by colour, so that it can also be read in a file. */
export function createTranscriptWriter(print: (text: string) => unknown, colour: boolean): TranscriptWriter {
  const { dim, green, cyan, yellow } = createColors(colour);
  const paint: Record<Author, (text: string) => string> = { prompt: dim, policy: green, search: cyan, tool: yellow };
  let author: Author | undefined;
  let lineOpen = false;
  const endLine = () => {
    if (lineOpen) print("\n");
    lineOpen = false;
  };
  return {
    write(by, text) {
      if (by !== author) endLine();
      author = by;
      for (const piece of printable(text).split(/(?<=\n)/)) {
        const words = piece.replace(/\n$/, "");
        if (words !== "") {
          print(lineOpen ? paint[by](words) : `${paint[by](`${by.padEnd(6)} │ `)}${paint[by](words)}`);
          lineOpen = true;
        }
        if (piece.endsWith("\n")) endLine();
      }
    },
    end: endLine,
  };
}

/** A whole attempt, coloured by author. */
export function formatAttempt(attempt: ShownAttempt, colour: boolean): string {
  const pieces: string[] = [];
  const writer = createTranscriptWriter((text) => pieces.push(text), colour);
  for (const { author, text } of attempt) writer.write(author, text);
  writer.end();
  return pieces.join("").replace(/\n$/, "");
}
