/** @file An attempt as one text, with who wrote which stretch: what the released reward servers are given. */
import { documentBlock } from "../../protocol/documents.ts";
import { protocols } from "../../protocol/protocol.ts";
import { isObservation, type Part } from "../../protocol/transcript.ts";

/** The released rules know R1-Searcher's tags only. */
const protocol = protocols["r1-searcher"];

export interface TextSpan {
  /** "search" stands for whatever environment wrote it. */
  readonly author: "policy" | "search";
  readonly text: string;
}

/**
 * Tags are put back. Blank text between two tags is not in a transcript and so not here; no rule counts it, unless the
 * policy itself writes document tags.
 */
export function spansOf(transcript: readonly Part[]): TextSpan[] {
  return transcript.map((part) =>
    isObservation(part) ? { author: "search", text: block(part.text) } : { author: "policy", text: textOfPart(part) },
  );
}

/** The same attempt, had search found one passage that says nothing. */
export function withoutDocuments(spans: readonly TextSpan[]): TextSpan[] {
  return spans.map((span) => (span.author === "search" ? { author: "search", text: silentBlock } : span));
}

const silentBlock = documentBlock(protocol, [{ id: "", title: "", text: "" }], { titles: false, maxWords: 0 })
  .map(({ text }) => text)
  .join("");

function block(text: string): string {
  const { documents, glue } = protocol;
  return `${glue.beforeDocuments}${documents.open}\n${text}${documents.close}${glue.afterDocuments}`;
}

function textOfPart({ kind, text, closed }: Part): string {
  const { think, query, answer } = protocol;
  switch (kind) {
    case "thought":
      return closed ? text + think.close : text;
    case "query":
      return query.open + text + (closed ? query.close : "");
    case "answer":
      return answer.open + text + (closed ? answer.close : "");
    case "action": // of another protocol, whose tags the released rules do not know
    case "stray":
    case "documents":
    case "observation":
      return text;
  }
}
