import { expect, test } from "vitest";
import { hasRealQuery, isCopied } from "./query-words.ts";

const prompt =
  "Question: On which river does Lyon lie?\n<think> Lyon river </think>\n\nQuestion: Who wrote Tosca?\n<think>";

function attempt(question: string, ...turns: [query: string, documents?: string][]) {
  return {
    question: { text: question },
    transcript: turns.map(([, text = ""]) => ({
      kind: "documents" as const,
      author: "search" as const,
      text,
      from: 0,
      to: 0,
    })),
    searches: turns.map(([query, documents], part) => ({ query, ...(documents === undefined ? {} : { part }) })),
  };
}

test("a query that stands in the prompt is a copy, however it is spelt; what stands in the question is none", () => {
  expect(isCopied("lyon RIVER!", prompt, "Who wrote Tosca?")).toBe(true);
  expect(isCopied("river Lyon", prompt, "Who wrote Tosca?")).toBe(false);
  expect(isCopied("Who wrote Tosca", prompt, "Who wrote Tosca?")).toBe(false);
  expect(isCopied("yon river", prompt, "Who wrote Tosca?")).toBe(false);
  expect(isCopied("", prompt, "Who wrote Tosca?")).toBe(false);
});

test("a real query asks about the question, or about what an earlier search brought", () => {
  const real = (question: string, ...turns: [string, string?][]) => hasRealQuery(attempt(question, ...turns), prompt);
  expect(real("Who wrote Tosca?", ["Tosca composer", "Tosca is by Puccini"])).toBe(true);
  expect(real("Who wrote Tosca?", ["Lyon river", "Lyon lies on the Rhône"])).toBe(false);
  expect(real("Who wrote Tosca?", ["keywords", "keywords are words"])).toBe(false); // what a search brings excuses no query but later ones
  expect(real("Who wrote Tosca?", ["opera", "Puccini was born in Lucca"], ["Puccini birthplace", "…"])).toBe(true);
  expect(real("On which river does Lyon lie?", ["Lyon river", "…"])).toBe(false); // its words, but given by the prompt
  expect(real("Who wrote Tosca?", ["Tosca composer"])).toBe(false); // not served
  expect(real("Who wrote Tosca?")).toBe(false);
});
