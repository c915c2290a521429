import { expect, test } from "vitest";
import { atMostPerAnswer } from "./training-data.ts";

test("of questions with an answer that is scored as the same, the first so many are kept, in their order", () => {
  const answers = [["American"], ["Bach"], ["american."], ["the American"], ["Liszt", "American"], ["Bach"]];
  const questions = answers.map((gold, i) => ({ id: String(i), text: "?", gold }));
  const ids = (most?: number) => atMostPerAnswer(questions, most).map(({ id }) => id);
  expect(ids(1)).toEqual(["0", "1", "4"]);
  expect(ids(2)).toEqual(["0", "1", "2", "4", "5"]);
  expect(ids()).toHaveLength(6);
});
