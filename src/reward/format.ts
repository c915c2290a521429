/** @file Is a transcript well formed? It reads parts, and authors, never a flat string: documents cannot break it. */
import type { Part } from "../protocol/transcript.ts";

export type FormatRule =
  | "thought-open" // `</think>` was never written, or only after the answer began
  | "query-open" // a query, or another action, was not closed
  | "query-unserved" // closed, but no documents or observation followed
  | "query-outside-thought"
  | "answer-missing"
  | "answer-open"
  | "answer-repeated"
  | "answer-empty"
  | "stray-tag" // a tag where none belongs: a second thought, documents the policy made up …
  | "stray-text"; // text outside thought, query and answer

export interface FormatFault {
  readonly rule: FormatRule;
  /** Index into the transcript; absent where something is missing. */
  readonly part?: number;
}

export interface FormatVerdict {
  readonly ok: boolean;
  readonly faults: readonly FormatFault[];
}

/** What counts of tags cannot see. */
const beyondTags: ReadonlySet<FormatRule> = new Set(["query-outside-thought", "answer-empty", "stray-text"]);

/**
 * Well formed: thoughts and closed, served queries; the thought closed; then one closed answer that says something,
 * and nothing after it.
 * @param level "tags" asks only for the right tags in the right number; "grammar" for all of it
 */
export function formatVerdict(parts: readonly Part[], level: "tags" | "grammar" = "grammar"): FormatVerdict {
  const faults: FormatFault[] = [];
  let waiting: number | undefined;
  let thoughtClosed = false;
  let answers = 0;
  const unserved = () => {
    if (waiting !== undefined) faults.push({ rule: "query-unserved", part: waiting });
    waiting = undefined;
  };
  for (const [index, part] of parts.entries()) {
    const fault = (rule: FormatRule) => faults.push({ rule, part: index });
    switch (part.kind) {
      case "thought":
        thoughtClosed ||= part.closed === true;
        break;
      case "query":
      case "action":
        unserved();
        if (thoughtClosed) fault("query-outside-thought");
        if (part.closed) waiting = index;
        else fault("query-open");
        break;
      case "documents":
      case "observation":
        waiting = undefined;
        break;
      case "answer":
        if (!thoughtClosed) fault("thought-open");
        if (!part.closed) fault("answer-open");
        else if (part.text.trim() === "") fault("answer-empty");
        if (++answers > 1) fault("answer-repeated");
        break;
      case "stray":
        fault(part.tag ? "stray-tag" : "stray-text");
        break;
    }
  }
  unserved();
  if (answers === 0)
    faults.push(...(thoughtClosed ? [] : [{ rule: "thought-open" } as const]), { rule: "answer-missing" });
  const counted = level === "grammar" ? faults : faults.filter(({ rule }) => !beyondTags.has(rule));
  return { ok: counted.length === 0, faults: counted };
}

/** The last answer that the policy closed; undefined where there is none. */
export function answerOf(parts: readonly Part[]): string | undefined {
  return parts.findLast(({ kind, closed }) => kind === "answer" && closed)?.text.trim();
}
