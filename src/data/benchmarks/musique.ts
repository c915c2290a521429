import type { BenchmarkShape } from "./row.ts";

/** Ids begin with the number of hops ("3hop1__…"), which is its type. */
export const musique: BenchmarkShape = {
  name: "MuSiQue",
  expects: '{"id", "question", "answer", "answer_aliases"}',
  recognises: (row) => "answer_aliases" in row || "question_decomposition" in row,
  read: ({ id, question, answer, answer_aliases, answerable }) => {
    const hops = typeof id === "string" ? /^(\d)hop/.exec(id)?.[1] : undefined;
    return {
      id,
      text: question,
      gold: answer,
      aliases: answer_aliases,
      type: hops && `${hops}-hop`,
      ...(answerable === false ? { unusable: "marked as not answerable: use the answerable part of MuSiQue" } : {}),
    };
  },
};
