import { expect, test } from "vitest";
import { memorySearcher } from "../../search/bm25/searcher.ts";
import { atMostPerAnswer, withAnswerShown } from "./training-data.ts";

test("of questions with an answer that is scored as the same, the first so many are kept, in their order", () => {
  const answers = [["American"], ["Bach"], ["american."], ["the American"], ["Liszt", "American"], ["Bach"]];
  const questions = answers.map((gold, i) => ({ id: String(i), text: "?", gold }));
  const ids = (most?: number) => atMostPerAnswer(questions, most).map(({ id }) => id);
  expect(ids(1)).toEqual(["0", "1", "4"]);
  expect(ids(2)).toEqual(["0", "1", "2", "4", "5"]);
  expect(ids()).toHaveLength(6);
});

test("a question is kept if a search for it shows an answer, in the words that the policy would see", async () => {
  const searcher = memorySearcher([
    { id: "1", title: "Tosca", text: "An opera in three acts, first sung in Rome, by Giacomo Puccini." },
    { id: "2", title: "Brahms", text: "He was born in Hamburg." },
  ]);
  const questions = [
    { id: "a", text: "Who wrote the opera Tosca?", gold: ["Giacomo Puccini"] },
    { id: "b", text: "Who was born in Hamburg?", gold: ["Johannes Brahms", "Brahms"] }, // a title is shown too
    { id: "c", text: "Was Brahms born in Hamburg?", gold: ["yes"] },
    { id: "d", text: "Where was the opera Tosca sung first?", gold: ["Milan"] },
    { id: "e", text: "Quelle heure?", gold: ["Rome"] }, // finds nothing
  ];
  const ids = async (maxPassageWords: number) =>
    (await withAnswerShown(questions, searcher, { k: 1, maxPassageWords })).map(({ id }) => id);
  expect(await ids(0)).toEqual(["a", "b"]);
  expect(await ids(9)).toEqual(["b"]);
});
