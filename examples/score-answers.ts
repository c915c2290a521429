/** Scores predictions as published result files have them, then a whole attempt, with the reason for each part of its reward. */
import { exactMatch, f1, importFlat, scoreRows, scoreTrajectory } from "r1-searcher/reward";

const text = "Where was the author of Dune born?";
const gold = ["Tacoma, Washington", "Tacoma"];

const rows = [
  { question: text, answer: gold, pred_ans: "tacoma." },
  { question: "Who wrote Emma?", answer: ["Jane Austen"], pred_ans: "Austen" },
];
console.log(scoreRows(rows)); // in per cent: { n: 2, em: 50, coverEm: 50, coverEm2: 50, f1: 83.3 }
console.log(exactMatch("Tacoma", gold), f1("in Tacoma", gold)); // one prediction, from 0 to 1: 1 and 0.67

// What another program wrote after its prompt, as one text: who wrote which part is read off the tags.
const attempt = importFlat(
  "The author of Dune is Frank Herbert. <|begin_of_query|>Frank Herbert birthplace<|end_of_query|>\n\n" +
    "<|begin_of_documents|>\n(1) Frank Herbert was born in Tacoma, Washington.\n<|end_of_documents|>\n\n" +
    "So it is Tacoma.</think>\n<answer>Tacoma</answer>",
);
const reward = scoreTrajectory({ question: { id: "1", text, gold }, ...attempt }, "fixed/stage-2");
for (const { rule, value, because } of reward.parts) console.log(`${rule}: ${value} (${because})`);
console.log(`reward ${reward.total}`); // 1: the answer is right, and the tags are in order
