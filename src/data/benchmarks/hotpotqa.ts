import type { BenchmarkShape } from "./row.ts";

/** HotpotQA, and 2WikiMultiHopQA in the same format; type is "bridge", "comparison", "compositional" … */
export const hotpotqa: BenchmarkShape = {
  name: "HotpotQA / 2WikiMultiHopQA",
  expects: '{"_id", "question", "answer", "type"}',
  recognises: (row) => "_id" in row,
  read: ({ _id, question, answer, type }) => ({ id: _id, text: question, gold: answer, type }),
};
