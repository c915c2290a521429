import type { BenchmarkShape } from "./row.ts";

/** The released training and evaluation sets; `idx` counts within a file. */
export const r1Searcher: BenchmarkShape = {
  name: "R1-Searcher",
  expects: '{"idx", "question", "answer"}',
  recognises: (row) => "idx" in row,
  read: ({ idx, question, answer, source }) => ({ number: idx, text: question, gold: answer, source }),
};
