/** @file What the shapes of benchmark rows share. A shape is chosen by looking at a row, never by a file's name. */
import type { Question } from "../../protocol/question.ts";

export type BenchmarkRow = Readonly<Record<string, unknown>>;

/** What a shape makes of a row; checked and completed by the reader. */
export interface RawQuestion {
  /** The benchmark's own id, unique everywhere; else undefined. */
  readonly id?: unknown;
  /** A number that is unique in its file only. */
  readonly number?: unknown;
  readonly text: unknown;
  /** A string, or a list of strings of which any is right. */
  readonly gold: unknown;
  readonly aliases?: unknown;
  readonly type?: unknown;
  readonly source?: unknown;
  /** Why the row cannot be used, where the benchmark itself says so. */
  readonly unusable?: string;
}

export interface BenchmarkShape {
  readonly name: string;
  /** For messages: what a row looks like. */
  readonly expects: string;
  readonly recognises: (row: BenchmarkRow) => boolean;
  readonly read: (row: BenchmarkRow) => RawQuestion;
}

/** @returns the question, or what is wrong with the row */
export function questionOf(
  raw: RawQuestion,
  place: { readonly row: number; readonly source: string },
): Question | string {
  if (raw.unusable !== undefined) return raw.unusable;
  if (typeof raw.text !== "string" || raw.text.trim() === "") return "no question";
  const gold = goldOf(raw);
  if (typeof gold === "string") return gold;
  const source = typeof raw.source === "string" && raw.source.trim() !== "" ? raw.source : place.source;
  const own = isId(raw.id) ? String(raw.id) : undefined;
  const number = isId(raw.number) ? raw.number : place.row;
  return {
    id: own ?? `${source}-${number}`,
    text: raw.text.trim(),
    gold,
    ...(typeof raw.type === "string" && raw.type !== "" ? { type: raw.type } : {}),
    source,
  };
}

function goldOf({ gold, aliases }: RawQuestion): readonly string[] | string {
  const answers = [...listOf(gold), ...listOf(aliases)];
  if (listOf(gold).length === 0) return "no gold answer";
  if (answers.some((answer) => typeof answer !== "string" && typeof answer !== "number"))
    return "a gold answer that is no text";
  const texts = answers.map((answer) => String(answer).trim()).filter((answer) => answer !== "");
  return texts.length === 0 ? "no gold answer" : [...new Set(texts)];
}

function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

const isId = (value: unknown) => (typeof value === "string" && value.trim() !== "") || Number.isSafeInteger(value);
