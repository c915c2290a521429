import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import type { Question } from "../../protocol/question.ts";
import { readQuestions, sampleQuestions } from "./read.ts";

const folder = mkdtempSync(join(tmpdir(), "benchmarks-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function read(name: string, ...rows: unknown[]): Promise<Question[]> {
  const file = join(folder, name);
  writeFileSync(
    file,
    name.endsWith(".json") ? JSON.stringify(rows) : rows.map((row) => `${JSON.stringify(row)}\n`).join(""),
  );
  return readQuestions(file);
}

test("R1-Searcher's rows get their file and number as id", async () => {
  expect(await read("stage_9.jsonl", { idx: 37, question: " Who? ", answer: "Ada", gen_text_store: "" })).toEqual([
    { id: "stage_9-37", text: "Who?", gold: ["Ada"], source: "stage_9" },
  ]);
});

test("HotpotQA and 2Wiki rows keep their id and type", async () => {
  expect(
    await read("dev.json", {
      _id: "5a7",
      question: "Who?",
      answer: "yes",
      type: "comparison",
      level: "hard",
      context: [],
    }),
  ).toEqual([{ id: "5a7", text: "Who?", gold: ["yes"], type: "comparison", source: "dev" }]);
});

test("MuSiQue's aliases are gold and its ids tell the hops, in JSON and in lines", async () => {
  const row = {
    id: "3hop1__5_6",
    question: "Who?",
    answer: "Ada Quill",
    answer_aliases: ["Quill", "Ada Quill"],
    answerable: true,
  };
  const expected = [{ id: "3hop1__5_6", text: "Who?", gold: ["Ada Quill", "Quill"], type: "3-hop", source: "musique" }];
  expect(await read("musique.json", row)).toEqual(expected);
  expect(await read("musique.jsonl", row)).toEqual(expected);
  await expect(read("musique.jsonl", { ...row, answerable: false })).rejects.toThrow(
    /musique\.jsonl:1: marked as not answerable/,
  );
});

test("JSON lines in a file that ends in .json are read", async () => {
  const file = join(folder, "lines.json");
  writeFileSync(file, '{"_id":"a","question":"Who?","answer":"x"}\n{"_id":"b","question":"Who?","answer":"y"}\n');
  expect((await readQuestions(file)).map(({ id }) => id)).toEqual(["a", "b"]);
});

test("Bamboogle's sheet and plain rows are read; one gold answer or several", async () => {
  expect(await read("bamboogle.json", { Question: "Who?", Answer: "Ada" })).toMatchObject([
    { id: "bamboogle-1", gold: ["Ada"] },
  ]);
  expect(
    await read(
      "own.jsonl",
      { question: "Who?", answer: ["Ada", "A. Quill"], source: "mine" },
      { question: "When?", answer: 1999 },
      { id: "z", question: "Where?", golden_answers: ["Tervane"] },
    ),
  ).toEqual([
    { id: "mine-1", text: "Who?", gold: ["Ada", "A. Quill"], source: "mine" },
    { id: "own-2", text: "When?", gold: ["1999"], source: "own" },
    { id: "z", text: "Where?", gold: ["Tervane"], source: "own" },
  ]);
});

test("a row without question or gold is named by line, with what a row looks like", async () => {
  const good = { question: "Who?", answer: "Ada" };
  const cases: [unknown, string][] = [
    [{ question: "Who?" }, "no gold answer"],
    [{ question: "Who?", answer: " " }, "no gold answer"],
    [{ question: "Who?", answer: [] }, "no gold answer"],
    [{ question: "Who?", answer: [true] }, "a gold answer that is not text"],
    [{ idx: 2, question: "Who?", answer: null }, "no gold answer"],
    [{ _id: "a", answer: "Ada" }, "no question"],
    [{ question: 5, answer: "Ada" }, "no question"],
    ["text", "not an object"],
  ];
  for (const [bad, message] of cases) {
    await expect(read("bad.jsonl", good, bad)).rejects.toMatchObject({
      name: "DataError",
      message: `${join(folder, "bad.jsonl")}:2: ${message}`,
      hint: expect.stringContaining("question"),
    });
  }
  await expect(read("bad.json", good, cases[0]![0])).rejects.toThrow(/bad\.json: item 2: no gold answer/);
});

test("files that are empty, missing, broken or repeat an id are named", async () => {
  await expect(read("empty.jsonl")).rejects.toThrow(/empty\.jsonl holds no question/);
  await expect(readQuestions(join(folder, "missing.json"))).rejects.toThrow(/missing\.json cannot be read/);
  await expect(readQuestions(join(folder, "missing.jsonl"))).rejects.toThrow(/missing\.jsonl cannot be read/);
  writeFileSync(join(folder, "broken.json"), "[{");
  await expect(readQuestions(join(folder, "broken.json"))).rejects.toThrow(/broken\.json is not JSON/);
  const row = { idx: 1, question: "Who?", answer: "Ada" };
  await expect(read("twice.jsonl", row, { ...row, idx: 2 }, row)).rejects.toThrow(
    /twice\.jsonl:3: id "twice-1" occurs twice, first at .*twice\.jsonl:1/,
  );
});

const questions = Array.from({ length: 50 }, (_, i): Question => ({ id: `q${i}`, text: `${i}?`, gold: ["x"] }));

test("a sample has the size asked for, no question twice, file order, and depends on the seed alone", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.integer(), (n, seed) => {
      const places = sampleQuestions(questions, n, seed).map((question) => questions.indexOf(question));
      expect(new Set(places).size).toBe(n);
      expect(places).toEqual([...places].sort((a, b) => a - b));
      expect(sampleQuestions(questions, n, seed).map(({ id }) => id)).toEqual(places.map((i) => `q${i}`));
    }),
  );
  expect(sampleQuestions(questions, 10, 1)).not.toEqual(sampleQuestions(questions, 10, 2));
  expect(sampleQuestions(questions, 0.1, 1)).toHaveLength(5);
});

test("a sample larger than the set, or of no size, is refused", () => {
  for (const n of [0, -1, 51, 2.5, Number.NaN])
    expect(() => sampleQuestions(questions, n, 1)).toThrow(/of 50 questions/);
});

const data = "../shared/data";
const isMissing = !existsSync(data);
if (isMissing) process.stderr.write(`SKIPPED: real benchmarks are not at ${data}\n`);

test.skipIf(isMissing)("every real benchmark file is read whole", async () => {
  const sizes = {
    "r1-searcher/training_set/stage_1.jsonl": 350,
    "r1-searcher/training_set/stage_2.jsonl": 8148,
    "r1-searcher/eval_set/hotpotqa_500.jsonl": 500,
    "r1-searcher/eval_set/2wiki_500.jsonl": 500,
    "r1-searcher/eval_set/musique_500.jsonl": 500,
    "r1-searcher/eval_set/bamboogle.jsonl": 125,
    "answerable/train.jsonl": 480,
    "answerable/test.jsonl": 335,
    "multihop/hotpotqa_train.json": 100,
    "multihop/musique_train.json": 100,
  };
  for (const [file, size] of Object.entries(sizes))
    expect(await readQuestions(`${data}/${file}`), file).toHaveLength(size);
  const [musique] = await readQuestions(`${data}/multihop/musique_train.json`);
  expect(musique).toMatchObject({ type: "2-hop", gold: { length: 2 } });
});
