import type { BenchmarkShape } from "./row.ts";

/** The published spreadsheet, saved as JSON or JSON lines with its column names. */
export const bamboogle: BenchmarkShape = {
  name: "Bamboogle",
  expects: '{"Question", "Answer"}',
  recognises: (row) => "Question" in row,
  read: ({ Question, Answer }) => ({ text: Question, gold: Answer, type: "2-hop" }),
};
