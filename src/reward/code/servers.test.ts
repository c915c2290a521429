/** @file Golden vectors: texts of our own, values worked out by hand from what the released servers do. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { importFlat } from "../import-flat.ts";
import { rewardPresets, scoreTrajectory } from "../stages.ts";
import { releasedServers, scoreReleased } from "./servers.ts";
import { spansOf } from "./spans.ts";

const found = "\n\n<|begin_of_documents|>\n(1)A port.\n(2)A bay.\n<|end_of_documents|>\n\n";
const query = "<|begin_of_query|> port of the north<|end_of_query|>";
const said = (answer: string) => `</think>\n<answer> ${answer} </answer>`;
const right = said("Blue Harbor");

/** Text, then what it is worth to qwen-zero, llama-stage1 and llama-stage2; gold is "Blue Harbor". */
const golden: readonly (readonly [string, string, number, number, number])[] = [
  ["a search and the right answer", `Find it.${query}${found}So${right}`, 1, 2, 1],
  ["two searches", `a${query}${found}b${query}${found}c${right}`, 1, 2, 1],
  ["the right answer without a search", `I know.${right}`, 1, 1.5, 1],
  ["half of the answer", `I know.${said("Blue")}`, 2 / 3, -0.5, 2 / 3],
  ["the words in another order, with an article", `I know.${said("the Harbor, Blue")}`, 1, 1.5, 1],
  ["a wrong answer", `I know.${said("Red Cape")}`, 0, -0.5, 0],
  ["a wrong answer after a search", `a${query}${found}b${said("Red Cape")}`, 0, 0, 0],
  ["the word assistant in a document", `a${query}${found.replace("port", "assistant director")}b${right}`, -1, 2, 1],
  ["the word assistant in a thought", `An assistant says so.${right}`, -1, 1.5, 1],
  ["the word Assistant after the answer", `I know.${right}\nAssistant:`, -1, 1.5, 1],
  ["ASSISTANT in capitals", `An ASSISTANT says so.${right}`, 1, 1.5, 1],
  ["a thought opened again", `<think>I know.${right}`, -1, 1, 0],
  ["a thought closed twice", `I know.</think>${right}`, -1, 1, 0],
  ["a thought that is never closed", "I know. <answer> Blue Harbor </answer>", -1, 1, 0],
  ["two answers, of which the last counts", `I know.${said("Red Cape")}<answer> Blue Harbor </answer>`, -1, 1, 0],
  ["an answer that is never closed", "I know.</think> <answer> Blue Harbor", -2, -1, -1],
  ["an answer that is never opened", "I know.</think> Blue Harbor </answer>", -2, -1, -1],
  ["no answer", "I know.</think>", -2, -1, -1],
  ["nothing at all", "", -2, -1, -1],
  ["a query's tag in the answer", `I know.${said("Blue Harbor begin_of_query")}`, 4 / 7 - 2, 1.5, 4 / 7],
  ["the end of a query's tag in the answer", `I know.${said("Blue Harbor end_of_query")}`, 4 / 7, 1.5, 4 / 7],
  ["a tag of documents in the answer", `I know.${said("begin_of_documents Blue Harbor")}`, 4 / 7 - 2, 1.5, 4 / 7],
  ["eleven words", `I know.${said("Blue Harbor b c d e f g h i j")}`, 4 / 13 - 2, 1.5, 4 / 13],
  ["ten words", `I know.${said("Blue Harbor b c d e f g h i")}`, 4 / 12, 1.5, 4 / 12],
  ["Chinese in a thought", `\u6e2f.${right}`, -1, 1.5, 0],
  ["Chinese in an answer", `I know.${said("Blue Harbor \u6e2f")}`, 4 / 5 - 2, 1.5, 4 / 5 - 1],
  ["Chinese in a document", `a${query}${found.replace("port", "\u6e2f")}b${right}`, 1, 2, 1],
  ["Japanese syllables in a thought", `\u306e.${right}`, 1, 1.5, 1],
  ["nothing found", `a${query}${"\n\n<|begin_of_documents|>\nNone\n<|end_of_documents|>\n\n"}b${right}`, -1, 1.5, 0],
  ["no blank line after the documents", `a${query}${found.trimEnd()} b${right}`, -1, 1.5, 0],
  ["a query that is never closed", `a<|begin_of_query|> port${right}`, -1, 1.5, 0],
  ["a query that nothing answers", `a${query} b${right}`, -1, 1.5, 0],
  ["documents that nobody asked for", `a${found}b${right}`, -1, 1.5, 0],
  ["a document with a query's tag", `a${query}${found.replace("port", "<|begin_of_query|>")}b${right}`, -1, 1.5, 0],
  ["two faults, one penalty", `An assistant. \u6e2f${right}`, -1, 1.5, 0],
  ["the end of the base prompt written again", `Lost.\nAssistant: <think>I know.${right}`, 1, 1, 0],
  [
    "the end of the chat prompt written again",
    `Lost.<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>I know.${right}`,
    -1,
    1.5,
    1,
  ],
];

const attempt = (text: string, gold: readonly string[] = ["Blue Harbor"]) => ({
  question: { id: "1", text: "Which port is in the north?", gold },
  ...importFlat(text),
});

describe.each(golden)("%s", (_, text, ...expected) => {
  test.each(releasedServers.map((server, i) => [server, expected[i]!] as const))(
    "is worth to %s: %d",
    (server, value) => expect(scoreTrajectory(attempt(text), `code/${server}`).total).toBeCloseTo(value, 12),
  );
});

test.each([
  ["yes", "True", 1, 1.5, 1],
  ["False", "no", 1, 1.5, 1],
  ["yes", "true", 0, -0.5, 0],
  ["yes", "yes it is", 0, 1.5, 0],
  ["no", "yes", 0, -0.5, 0],
  ["noanswer", "noanswer", 1, 1.5, 1],
  ["!!!", "!!!", 0, 1.5, 0],
  ["!!!", "x", 0, -0.5, 0],
  ["rock_and_roll", "Rock and Roll", 1, 1.5, 1],
  ["O\u2019Hara", "O'Hara", 1, 1.5, 1],
  ["b b", "b", 2 / 3, 1.5, 2 / 3],
])("with gold %j the answer %j is worth to the three servers: %d, %d, %d", (gold, answer, ...expected) => {
  const values = releasedServers.map(
    (server) => scoreTrajectory(attempt(`I know.${said(answer)}`, [gold]), `code/${server}`).total,
  );
  for (const [i, server] of (["qwen-zero", "llama-stage1", "llama-stage2"] as const).entries())
    expect(values[releasedServers.indexOf(server)]).toBeCloseTo(expected[i]!, 12);
});

test("the plain name is the server of the published Qwen run", () => {
  expect(rewardPresets.code).toEqual(rewardPresets["code/qwen-zero"]);
});

test("every fault is named; one pays, the others say which, and documents are told from the policy", () => {
  const text = `\u6e2f a${query}${found.replace("port", "assistant")}b<answer> Blue Harbor </answer>`;
  const { parts } = scoreTrajectory(attempt(text), "code/qwen-zero");
  expect(parts.map(({ rule, value, sharedWith }) => [rule, value, sharedWith])).toEqual([
    ["f1", 1, undefined],
    ["assistant", -2, undefined],
    ["thought-tags", 0, "assistant"],
    ["chinese", 0, "assistant"],
  ]);
  expect(parts[1]!.because).toBe('the text holds "assistant", by the documents alone');
  expect(parts[2]!.because).toBe("<think> × 0, </think> × 0: expected 0 and 1");
});

test("an attempt without its text is put together from its transcript", () => {
  for (const [, text] of golden) {
    const { spans: _, ...parsed } = attempt(text);
    // blank text between tags is not in a transcript; only documents that the policy made up need theirs
    if (text.includes(`a${found}`)) continue;
    for (const server of releasedServers)
      expect(scoreReleased(server, parsed).map(({ value }) => value)).toEqual(
        scoreReleased(server, attempt(text)).map(({ value }) => value),
      );
  }
});

const pieces = fc.constantFrom(
  ...["<think>", "</think>", "<answer>", "</answer>", "<|begin_of_query|>", "<|end_of_query|>", query, found],
  ...[
    "<|begin_of_documents|>\n",
    "<|end_of_documents|>\n\n",
    "Blue Harbor",
    "assistant",
    "\u6e2f",
    " ",
    "\nAssistant: <think>",
  ],
);
const texts = fc.array(fc.oneof(pieces, fc.string({ unit: "grapheme", maxLength: 6 })), { maxLength: 14 });

test("whatever is written, the total is the sum of the parts, in the server's range, with one penalty at most", () => {
  const ranges = { "qwen-zero": [-2, 1], "llama-stage1": [-1, 2], "llama-stage2": [-1, 1] } as const;
  fc.assert(
    fc.property(texts, fc.constantFrom(...releasedServers), (written, server) => {
      const { total, parts } = scoreTrajectory(attempt(written.join("")), `code/${server}`);
      const [least, most] = ranges[server];
      expect(total).toBe(parts.reduce((sum, { value }) => sum + value, 0));
      expect(total).toBeGreaterThanOrEqual(least);
      expect(total).toBeLessThanOrEqual(most);
      const paid = parts.filter(({ value }) => value < 0).map(({ rule }) => rule);
      expect(paid.length).toBeLessThanOrEqual(1);
      for (const { sharedWith } of parts) if (sharedWith !== undefined) expect(paid).toEqual([sharedWith]);
    }),
    { numRuns: 300 },
  );
});

test("documents move no rule but structure and assistant where they hold no tag, and none of the fixed ones", () => {
  const words = fc.stringMatching(/^[a-z \u6e2f]{0,30}$/u);
  fc.assert(
    fc.property(words, words, (first, second) => {
      const [one, other] = [first, second].map((document) =>
        attempt(`a${query}${found.replace("A port.", document)}b${right}`),
      );
      for (const preset of ["fixed/stage-1", "fixed/stage-2", "paper/stage-1", "paper/stage-2"] as const)
        expect(scoreTrajectory(one!, preset)).toEqual(scoreTrajectory(other!, preset));
      for (const server of ["llama-stage1", "llama-stage2"] as const)
        expect(scoreReleased(server, one!)).toEqual(scoreReleased(server, other!));
      expect(scoreReleased("qwen-zero", one!).some(({ rule }) => rule === "assistant")).toBe(/assistant/.test(first));
    }),
  );
});

test("a transcript becomes the text it was read from, but for blanks between tags", () => {
  const text = `Find it.${query}${found}So${right}`;
  const joined = spansOf(importFlat(text).transcript)
    .map((span) => span.text)
    .join("");
  expect(joined).toBe(text.replace("</think>\n", "</think>"));
});
