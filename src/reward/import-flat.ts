/**
 * @file Outputs of other programs, which kept no authors: one flat text each. The only place that finds documents by
 * scanning; what it finds is marked as inferred, for a policy can write the same tags.
 */
import { DataError } from "../base/errors.ts";
import { TranscriptParser } from "../protocol/parse.ts";
import { type Protocol, protocols } from "../protocol/protocol.ts";
import type { Part } from "../protocol/transcript.ts";
import type { TextSpan } from "./code/spans.ts";
import { scoreRow } from "./score.ts";
import type { Scorable } from "./stages.ts";

/** A part whose author was guessed. `from` and `to` count UTF-16 units of the text: there are no tokens. */
export interface InferredPart extends Part {
  readonly inferred: true;
}

export interface InferredSpan extends TextSpan {
  readonly inferred: true;
}

export interface ImportedText {
  readonly transcript: readonly InferredPart[];
  readonly spans: readonly InferredSpan[];
  readonly searches: Scorable["searches"];
  readonly stop: "answered" | "ended";
}

export interface ImportedAttempt extends Scorable {
  readonly transcript: readonly InferredPart[];
  readonly spans: readonly InferredSpan[];
}

/**
 * Search wrote what stands right after a closed query, apart from blanks, between a pair of document tags; every other
 * document tag is the policy's own.
 * @param text what follows the prompt, which opened the thought
 */
export function importFlat(text: string, protocol: Protocol = protocols["r1-searcher"]): ImportedText {
  const parser = new TranscriptParser(protocol);
  const encoder = new TextEncoder();
  const spans: InferredSpan[] = [];
  const searches: { query: string; part?: number }[] = [];
  let at = 0;
  let from = 0;
  while (at < text.length) {
    const letter = String.fromCodePoint(text.codePointAt(at)!);
    const event = parser.policyToken(at, encoder.encode(letter));
    at += letter.length;
    if (event?.kind !== "query") continue;
    const query = cleaned(event.text);
    const end = documentsEnd(text, at, protocol);
    if (end === undefined) {
      searches.push({ query });
      continue;
    }
    spans.push(policySpan(text.slice(from, at)), { author: "search", text: text.slice(at, end), inferred: true });
    searches.push({ query, part: parser.parts.length });
    parser.environmentRun("search", at, end, text.slice(at, end));
    at = end;
    from = end;
  }
  if (from < text.length) spans.push(policySpan(text.slice(from)));
  const transcript = parser.finish().map((part): InferredPart => ({ ...part, inferred: true }));
  const isAnswered = transcript.some(({ kind, closed }) => kind === "answer" && closed);
  return { transcript, spans, searches, stop: isAnswered ? "answered" : "ended" };
}

/**
 * One row of a published result file: question, answer, pred_ans and gen_text_store, the whole text of the attempt.
 * @param where file and line, for messages
 * @throws DataError
 */
export function importRow(value: unknown, where: string): ImportedAttempt {
  const { question, answer } = scoreRow(value, where);
  const text = (value as Record<string, unknown>).gen_text_store;
  if (typeof text !== "string") {
    throw new DataError(`${where}: gen_text_store is not a text`, {
      hint: "rules read whole attempts: each line needs gen_text_store, what was written after the prompt",
    });
  }
  const gold = typeof answer === "string" ? [answer] : answer;
  return { question: { id: where, text: question, gold }, ...importFlat(text) };
}

const policySpan = (text: string): InferredSpan => ({ author: "policy", text, inferred: true });

/** As a rollout sends it. */
const cleaned = (query: string) => query.replaceAll('"', "").replace(/\s+/g, " ").trim();

/** One past the block of documents that begins at `at`, with the blank line after it; undefined where there is none. */
function documentsEnd(text: string, at: number, { documents, glue }: Protocol): number | undefined {
  const open = at + /^\s*/.exec(text.slice(at))![0].length;
  if (!text.startsWith(documents.open, open)) return undefined;
  const close = text.indexOf(documents.close, open);
  if (close < 0) return undefined;
  const end = close + documents.close.length;
  return text.startsWith(glue.afterDocuments, end) ? end + glue.afterDocuments.length : end;
}
