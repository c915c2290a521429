import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { DataError } from "../base/errors.ts";
import { readJsonl } from "../base/jsonl.ts";
import { scoreRow, scoreRows } from "./score.ts";

const published = "../shared/data/r1-searcher/eval_results/hotpotqa_qwen.jsonl";

test.skipIf(!existsSync(published))(
  `the published outputs score as the paper says (skipped where ${published} is missing)`,
  async () => {
    const rows = [];
    for await (const { line, value } of readJsonl(published)) rows.push(scoreRow(value, `${published}:${line}`));
    expect(scoreRows(rows)).toEqual({ n: 500, em: 58.0, coverEm: 65.4, coverEm2: 65.4, f1: 71.9 });
  },
);

test("scores are per cent with one decimal, the best gold of each row", () => {
  const rows = [
    { question: "q", answer: ["x", "London"], pred_ans: "london" },
    { question: "q", answer: "Paris", pred_ans: "city of Paris" },
    { question: "q", answer: "Rome", pred_ans: "" },
  ];
  expect(scoreRows(rows)).toEqual({ n: 3, em: 33.3, coverEm: 66.7, coverEm2: 66.7, f1: 50 });
});

test.each([
  [{ question: "q", pred_ans: "p" }, "answer"],
  [{ question: "q", answer: [], pred_ans: "p" }, "answer"],
  [{ question: "q", answer: " ", pred_ans: "p" }, "answer"],
  [{ question: "q", answer: "a", pred_ans: 3 }, "pred_ans"],
  [{ answer: "a", pred_ans: "p" }, "question"],
  ["text", "question"],
  [null, "question"],
])("the row %j is refused with its place", (row, key) => {
  expect(() => scoreRow(row, "rows.jsonl:7")).toThrow(DataError);
  expect(() => scoreRow(row, "rows.jsonl:7")).toThrow(new RegExp(`^rows.jsonl:7: ${key}`));
});

test("no rows have no score", () => {
  expect(() => scoreRows([])).toThrow(DataError);
});
