/** @file Shared by the row formats of benchmarks. The format is recognised from a row, never from the file name. */
import type { Question } from "../../protocol/question.ts";

export type BenchmarkRow = Readonly<Record<string, unknown>>;

/** The fields that a format finds in a row; the reader checks and completes them. */
export interface RawQuestion {
  /** The benchmark's own globally unique id, otherwise undefined. */
  readonly id?: unknown;
  /** A number that is unique within its file only. */
  readonly number?: unknown;
  readonly text: unknown;
  /** A text, or a list of texts of which any is right. */
  readonly gold: unknown;
  readonly aliases?: unknown;
  readonly type?: unknown;
  readonly source?: unknown;
  /** Why the row cannot be used, if the benchmark marks it so. */
  readonly unusable?: string;
}

export interface BenchmarkShape {
  readonly name: string;
  /** For messages: an example of a row. */
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
    return "a gold answer that is not text";
  const texts = answers.map((answer) => String(answer).trim()).filter((answer) => answer !== "");
  return texts.length === 0 ? "no gold answer" : [...new Set(texts)];
}

function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

const isId = (value: unknown) => (typeof value === "string" && value.trim() !== "") || Number.isSafeInteger(value);
