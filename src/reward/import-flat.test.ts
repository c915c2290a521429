import { existsSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DataError } from "../base/errors.ts";
import { readJsonl } from "../base/jsonl.ts";
import { spansOf } from "./code/spans.ts";
import { type ImportedAttempt, importFlat, importRow } from "./import-flat.ts";
import { countRules } from "./rule-counts.ts";

const found = "\n\n<|begin_of_documents|>\n(1)A port.\n<|end_of_documents|>\n\n";

test("what follows a closed query between document tags is search's, and every span is marked as inferred", () => {
  const text = `Find it.<|begin_of_query|> "north  port" <|end_of_query|>${found}So</think> <answer> Blue </answer>`;
  const { transcript, spans, searches, stop } = importFlat(text);
  expect(transcript.map(({ kind, author, text }) => [kind, author, text])).toEqual([
    ["thought", "policy", "Find it."],
    ["query", "policy", ' "north  port" '],
    ["documents", "search", "(1)A port.\n"],
    ["thought", "policy", "So"],
    ["answer", "policy", " Blue "],
  ]);
  expect([...transcript, ...spans].every(({ inferred }) => inferred)).toBe(true);
  expect(spans.map(({ author }) => author)).toEqual(["policy", "search", "policy"]);
  expect(spans[1]!.text).toBe(found);
  expect(searches).toEqual([{ query: "north port", part: 2 }]);
  expect(stop).toBe("answered");
  const query = transcript[1]!;
  expect(text.slice(query.from, query.to)).toBe('<|begin_of_query|> "north  port" <|end_of_query|>');
});

test.each([
  ["documents without a query", `a${found}b`],
  ["documents after a query and a word", `a<|begin_of_query|>q<|end_of_query|> then${found}b`],
  ["documents that are never closed", "a<|begin_of_query|>q<|end_of_query|>\n\n<|begin_of_documents|>\n(1)x"],
  ["documents in an answer", `</think><answer>${found}</answer>`],
])("%s are the policy's own", (_, text) => {
  const { transcript, spans, searches } = importFlat(text);
  expect(spans.map(({ author }) => author)).toEqual(["policy"]);
  expect(transcript.some(({ kind }) => kind === "documents")).toBe(false);
  expect(searches.every(({ part }) => part === undefined)).toBe(true);
});

test("an empty text has no part and ends without an answer", () => {
  expect(importFlat("")).toEqual({ transcript: [], spans: [], searches: [], stop: "ended" });
});

test("spans join to the text, and reading what a transcript spells gives that transcript again", () => {
  const piece = fc.constantFrom(
    ...["<think>", "</think>", "<answer>", "</answer>", "<|begin_of_query|>", "<|end_of_query|>", "\u{1f600}", "x"],
    ...[found, `<|begin_of_query|>q<|end_of_query|>${found}`, "<|begin_of_documents|>", " ", "\ud83d", "<|"],
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 16 }), (written) => {
      const text = written.join("");
      const { transcript, spans } = importFlat(text);
      expect(spans.map((span) => span.text).join("")).toBe(text);
      const spelled = spansOf(transcript)
        .map((span) => span.text)
        .join("");
      const again = importFlat(spelled).transcript;
      const [before, after] = [transcript, again].map((parts) => parts.map(({ kind, text }) => [kind, text]));
      // what stood apart by a blank that is gone may now be served
      if (spelled.length === text.length) expect(after).toEqual(before);
    }),
    { numRuns: 400 },
  );
});

test.each([
  [{ question: "q", answer: "a", pred_ans: "p" }, "gen_text_store"],
  [{ question: "q", answer: "a", pred_ans: "p", gen_text_store: null }, "gen_text_store"],
  [{ question: "q", pred_ans: "p", gen_text_store: "x" }, "answer"],
  [7, "question"],
])("the row %j is refused with its place", (row, key) => {
  expect(() => importRow(row, "rows.jsonl:7")).toThrow(DataError);
  expect(() => importRow(row, "rows.jsonl:7")).toThrow(new RegExp(`^rows.jsonl:7: ${key}`));
});

const attempt = (thought: string, document: string) =>
  importRow(
    {
      question: "q",
      answer: "Blue",
      pred_ans: "Blue",
      gen_text_store: `${thought}<|begin_of_query|>q<|end_of_query|>${found.replace("A port.", document)}</think><answer>Blue</answer>`,
    },
    "1",
  );

test("a rule counts as fired on documents only where silent documents would not have fired it", () => {
  const attempts = [attempt("a", "an assistant"), attempt("an assistant", "an assistant"), attempt("a", "b")];
  const { rules, ...totals } = countRules(attempts, "code");
  expect(totals).toEqual({ n: 3, meanReward: -1 / 3, penalised: 2, penalisedOnDocumentsOnly: 1 });
  expect(rules).toEqual([
    { rule: "f1", fired: 3, onDocumentsOnly: 0 },
    { rule: "structure", fired: 0, onDocumentsOnly: 0 },
    { rule: "assistant", fired: 2, onDocumentsOnly: 1 },
    ...["thought-tags", "answer-tags", "tag-in-answer", "long-answer", "chinese"].map((rule) => ({
      rule,
      fired: 0,
      onDocumentsOnly: 0,
    })),
  ]);
});

test("no attempts have no counts", () => {
  expect(() => countRules([], "code")).toThrow(DataError);
});

const published = "../shared/data/r1-searcher/eval_results/hotpotqa_qwen.jsonl";

test.skipIf(!existsSync(published))(
  `17 of the 20 penalties of the published outputs come from documents, and none of the fixed rules (skipped where ${published} is missing)`,
  async () => {
    const attempts: ImportedAttempt[] = [];
    for await (const { line, value } of readJsonl(published)) attempts.push(importRow(value, `${published}:${line}`));
    const code = countRules(attempts, "code");
    expect(code).toMatchObject({ n: 500, penalised: 20, penalisedOnDocumentsOnly: 17 });
    expect(code.rules.filter(({ fired }) => fired > 0)).toEqual([
      { rule: "f1", fired: 407, onDocumentsOnly: 0 },
      { rule: "assistant", fired: 18, onDocumentsOnly: 17 },
      { rule: "long-answer", fired: 1, onDocumentsOnly: 0 },
      { rule: "chinese", fired: 1, onDocumentsOnly: 0 },
    ]);
    for (const preset of ["fixed/stage-1", "fixed/stage-2", "code/llama-stage1", "code/llama-stage2"] as const) {
      const { penalisedOnDocumentsOnly, rules } = countRules(attempts, preset);
      expect(penalisedOnDocumentsOnly).toBe(0);
      expect(rules.every(({ onDocumentsOnly }) => onDocumentsOnly === 0)).toBe(true);
    }
  },
);
