/**
 * @file The exact text of the small model's transcripts, in one place. Every piece of policy text begins with a space,
 * so that words after a tag or after documents get the same tokens as anywhere else.
 */
import { documentBlock, type Segment } from "../../protocol/documents.ts";
import type { Passage } from "../../protocol/passage.ts";
import { protocols } from "../../protocol/protocol.ts";
import type { Relation } from "./language.ts";

const { think, query, answer } = protocols["r1-searcher"];

/** The prompt that opens a transcript; rollouts use the same (protocol/prompt.ts, "nano"). */
export const prompt = (question: string) => `Question: ${question}\n${think.open}`;

export const need = (relation: Relation, subject: string) => ` Let me find the ${relation} of ${subject}.`;
export const fact = (relation: Relation, subject: string, object: string) =>
  ` The ${relation} of ${subject} is ${object}.`;
export const openQuery = (words: string) => `${query.open} ${words}`;
export const closedQuery = (words: string) => `${openQuery(words)}${query.close}`;
export const closedAnswer = (words: string) => `${think.close}${answer.open} ${words}${answer.close}`;

export const documents = (passages: readonly Passage[]): Segment[] =>
  documentBlock(protocols["r1-searcher"], passages, { titles: false, maxWords: 0 });

/** Endings that break the format, each in another way. */
export const brokenEndings: readonly ((words: string) => string)[] = [
  (words) => `${answer.open} ${words}${answer.close}`, // thought never closed
  (words) => `${think.close} ${words}${answer.close}`, // answer never opened
  (words) => `${think.close}${answer.open} ${words}`, // answer never closed
  () => `${think.close}${answer.open}${answer.close}`, // empty
  (words) => `${think.close} ${words}`,
  (words) => `${think.close}${think.close}${answer.open} ${words}${answer.close}`,
  () => "", // stops in mid-thought
];
