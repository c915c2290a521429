import type { BenchmarkShape } from "./row.ts";

/** A user's own rows. Many QA collections call the list of gold answers `golden_answers`. */
export const plain: BenchmarkShape = {
  name: "question and answer",
  expects: '{"question", "answer"} where answer is a text or a list of texts',
  recognises: () => true,
  read: ({ id, question, answer, golden_answers, type, source }) => ({
    id,
    text: question,
    gold: answer ?? golden_answers,
    type,
    source,
  }),
};
