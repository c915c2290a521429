import type { BenchmarkShape } from "./row.ts";

/** Its sheet, saved as JSON or JSON lines with the column names as they are. */
export const bamboogle: BenchmarkShape = {
  name: "Bamboogle",
  expects: '{"Question", "Answer"}',
  recognises: (row) => "Question" in row,
  read: ({ Question, Answer }) => ({ text: Question, gold: Answer, type: "2-hop" }),
};
