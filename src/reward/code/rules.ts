/** @file What the released servers find fault with, one by one. Each reads the whole text, whoever wrote it. */
import { protocols } from "../../protocol/protocol.ts";
import { occurrences, predictionIn } from "./solution.ts";

const { think, query, documents, answer, glue } = protocols["r1-searcher"];

export type ReleasedFault =
  | "structure" // seven counts of query and document tags differ
  | "thought-tags" // not exactly one closing tag, or an opening one: the prompt has it
  | "answer-tags" // not exactly one of each
  | "assistant" // the word, which a policy writes that goes on to play the next turn of a conversation
  | "tag-in-answer"
  | "long-answer"
  | "chinese"; // outside of documents

/** Whether a fault is there, and why. */
export const faults: Readonly<Record<ReleasedFault, (solution: string) => string | undefined>> = {
  structure: (solution) => {
    const counts = structureCounts(solution);
    return counts.every((count) => count === counts[0])
      ? undefined
      : `the query and document tags count ${counts.join(", ")}`;
  },
  "thought-tags": (solution) => wrongCounts(solution, think, { open: 0, close: 1 }),
  "answer-tags": (solution) => wrongCounts(solution, answer, { open: 1, close: 1 }),
  assistant: (solution) => {
    const found = /[Aa]ssistant/.exec(solution);
    return found ? `the text holds "${found[0]}"` : undefined;
  },
  "tag-in-answer": (solution) => {
    const prediction = predictionIn(solution);
    const found = [query.open, documents.open].map(bare).find((tag) => prediction.includes(tag));
    return found === undefined ? undefined : `the answer holds "${found}"`;
  },
  "long-answer": (solution) => {
    const words = predictionIn(solution).split(/\s+/).length;
    return words > mostWords ? `the answer has ${words} words` : undefined;
  },
  chinese: (solution) => {
    const found = /[\u4e00-\u9fff]/u.exec(outsideDocuments(solution));
    return found ? `"${found[0]}" stands outside of documents` : undefined;
  },
};

const mostWords = 10;

/** Of tags as they stand and as search writes them, with the line breaks and the number of the first passage. */
export function structureCounts(solution: string): number[] {
  return [
    `${documents.open}\n`,
    `${documents.close}${glue.afterDocuments}`,
    query.open,
    query.close,
    documents.open,
    documents.close,
    `${documents.open}\n(1)`,
  ].map((part) => occurrences(solution, part));
}

function wrongCounts(
  solution: string,
  tags: { readonly open: string; readonly close: string },
  wanted: { readonly open: number; readonly close: number },
): string | undefined {
  const [open, close] = [occurrences(solution, tags.open), occurrences(solution, tags.close)];
  return open === wanted.open && close === wanted.close
    ? undefined
    : `${tags.open} × ${open}, ${tags.close} × ${close}: expected ${wanted.open} and ${wanted.close}`;
}

/** A tag without its brackets. */
function bare(tag: string): string {
  return tag.replaceAll(/[<>|]/g, "");
}

/** Found by scanning: from each opening tag to the next closing one, whoever wrote them. */
function outsideDocuments(solution: string): string {
  let rest = solution;
  let outside = "";
  for (;;) {
    const from = rest.indexOf(documents.open);
    const to = from < 0 ? -1 : rest.indexOf(documents.close, from + documents.open.length);
    if (to < 0) return outside + rest;
    outside += rest.slice(0, from);
    rest = rest.slice(to + documents.close.length);
  }
}
