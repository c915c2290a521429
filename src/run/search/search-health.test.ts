import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readSearchQuestions, type SearchQuestion } from "../../data/benchmarks/search-questions.ts";
import type { Hit } from "../../search/searcher.ts";
import { isSearchable, searchHealth } from "./search-health.ts";

const folder = mkdtempSync(join(tmpdir(), "health-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hit = (id: string, text = "words", title = `Title ${id}`): Hit => ({ id, title, text, score: 1, rank: 1 });
const asks = (...names: string[]): SearchQuestion => ({
  text: "?",
  support: names.map((name) => ({ name })),
  answers: [],
  row: {},
});
const index = { passages: 1000, skipped: 0 };
const repeated = <T>(item: T, times: number): T[] => Array.from({ length: times }, () => item);

async function read(...rows: unknown[]): Promise<SearchQuestion[]> {
  const file = join(folder, "questions.jsonl");
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return readSearchQuestions(file);
}

test("recall is the share of supporting passages, by id or title, among the first k", () => {
  const hits = ["a", "b", "c", "d", "e", "f", "g"].map((id) => hit(id));
  const health = searchHealth([asks("b", "Title g"), asks("c", "zzz")], [hits, hits], index);
  expect(health.recall).toEqual({ "2": 0.25, "5": 0.5, "10": 0.75 });
  expect(health).toMatchObject({ n: 2, healthy: true, empty: 0, reasons: [] });
});

test("without passages an answer must stand in a result as whole words", () => {
  const question: SearchQuestion = { text: "?", support: [], answers: ["The Art", "yes"], row: {} };
  const recall = (text: string) => searchHealth([question], [[hit("a", text)]], index).recall["10"];
  expect(recall("a party of artists")).toBe(0);
  expect(recall("Modern art, in short.")).toBe(1);
  expect(recall("yes, oh yes")).toBe(0);
});

test("where titles repeat, the text decides", () => {
  const question: SearchQuestion = {
    text: "?",
    support: [{ name: "T", text: "The second paragraph." }],
    answers: [],
    row: {},
  };
  const recall = (text: string) => searchHealth([question], [[hit("a", text, "T")]], index).recall["10"];
  expect(recall("The first paragraph.")).toBe(0);
  expect(recall("The second paragraph. And more of the same chunk.")).toBe(1);
  expect(recall("the second")).toBe(1);
});

test("nothing found, one passage for everything, and blind draws are not healthy", () => {
  const questions = Array.from({ length: 10 }, (_, i) => asks(`p${i}`));
  const good = questions.map((_, i) => [hit(`p${i}`)]);
  const reasons = (results: readonly (readonly Hit[])[], passages = 1000) =>
    searchHealth(questions, results, { ...index, passages }).reasons;
  expect(reasons(good)).toEqual([]);
  expect(reasons(repeated([], 10))).toEqual(["100 % of the questions find nothing", "recall@10 is 0 %, below 10 %"]);
  expect(reasons(good.with(0, []).with(1, []).with(2, []))).toEqual(["30 % of the questions find nothing"]);
  expect(
    reasons(
      repeated(
        questions.map((_, i) => hit(`p${i}`)),
        10,
      ),
    ),
  ).toEqual(["the same passage comes first for 100 % of the questions"]);
  // of 40 passages ten blind ones hold a quarter of what is sought
  const blind = questions.map((_, i) => (i % 4 === 0 ? [hit(`p${i}`)] : [hit(`x${i}`)]));
  expect(reasons(blind, 40)).toEqual(["recall@10 is 30 %, below 50 %"]);
});

test("questions are read in every shape, and those of yes or no are known", async () => {
  const rows = await read(
    { question: "Q1", passages: ["a", 7] },
    {
      question: "Q2",
      answer: "yes",
      supporting_facts: [
        ["T1", 0],
        ["T1", 3],
        ["T2", 1],
      ],
    },
    { question: "Q3", supporting_facts: { title: ["T1"], sent_id: [0] } },
    {
      question: "Q4",
      paragraphs: [
        { title: "T", paragraph_text: "no", is_supporting: false },
        { title: "T", paragraph_text: "here", is_supporting: true },
      ],
    },
    { question: "Q5", golden_answers: ["x", "y"] },
    { question: "Q6", answer: "No" },
  );
  expect(rows.map(({ support }) => support)).toEqual([
    [{ name: "a" }, { name: "7" }],
    [{ name: "T1" }, { name: "T2" }],
    [{ name: "T1" }],
    [{ name: "T", text: "here" }],
    [],
    [],
  ]);
  expect(rows.map(isSearchable)).toEqual([true, true, true, true, true, false]);
  await expect(read({ question: "Q" })).rejects.toThrow(/questions\.jsonl:1: neither passages nor an answer/);
  await expect(read({ question: "Q", passages: [{}] })).rejects.toThrow(
    /the form of its supporting passages is unknown/,
  );
});
