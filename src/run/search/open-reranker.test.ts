import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Passage } from "../../protocol/passage.ts";
import { memorySearcher } from "../../search/bm25/searcher.ts";
import { searcherConformance } from "../../search/conformance.ts";
import { pairOf } from "../../search/rerank/onnx-reranker.ts";
import { rerankedSearcher } from "../../search/rerank/reranked.ts";
import type { Reranker } from "../../search/rerank/reranker.ts";
import { openReranker } from "./open-reranker.ts";
import { openSearch } from "./open-search.ts";
import { runIndexBuild } from "./run-index-build.ts";
import { embeddingGraph, overlapGraph, writeTinyBert } from "./testing/tiny-bert.ts";

const folder = mkdtempSync(join(tmpdir(), "reranker-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;
const one = { model_type: "bert", hidden_size: 8, max_position_embeddings: 16, id2label: { 0: "LABEL_0" } };
const rerankerFolder = (files: Readonly<Record<string, unknown>> = {}, factors: readonly number[] = [1]) =>
  writeTinyBert(join(folder, String(made++)), overlapGraph(factors), { "config.json": one, ...files });

async function scores(directory: string, query: string, passages: readonly string[]) {
  const reranker = await openReranker(directory);
  try {
    return await reranker.score(query, passages);
  } finally {
    await reranker.close();
  }
}

test("a pair is read as [CLS] query [SEP] passage [SEP], and each alone", async () => {
  const found = await scores(rerankerFolder(), "red fox", ["Red river", "fox fox red", "blue", ""]);
  expect(found).toEqual([1, 3, 0, 0]);
});

test("of two outputs the second counts, against the first", async () => {
  const { id2label: _, ...two } = one; // as the library writes two classes
  const found = await scores(rerankerFolder({ "config.json": two }, [-0.5, 2]), "fox", ["fox", "fox fox", "red"]);
  expect(found).toEqual([2.5, 5, 0]);
});

test("what does not fit is taken off the longer text, and both stay closed", () => {
  const text = (count: number, word: number) => [2, ...Array.from({ length: count }, () => word), 3];
  const lengths = (a: number, b: number) => {
    const { ids, types } = pairOf(text(a, 7), text(b, 8), 11);
    expect([ids[0], ids.at(-1), ids.length <= 11]).toEqual([2, 3, true]);
    expect(types.indexOf(1)).toBe(ids.indexOf(3) + 1);
    return [ids.filter((id) => id === 7).length, ids.filter((id) => id === 8).length];
  };
  expect([lengths(2, 3), lengths(2, 50), lengths(50, 1), lengths(50, 50), lengths(6, 6), lengths(0, 0)]).toEqual([
    [2, 3],
    [2, 6],
    [7, 1],
    [4, 4],
    [4, 4],
    [0, 0],
  ]);
});

test("a folder that is no reranker is refused by name", async () => {
  const refused = (files: Readonly<Record<string, unknown>>, factors?: readonly number[]) =>
    openReranker(rerankerFolder(files, factors)).then(
      () => "opened",
      (error: Error) => `${error.name}: ${error.message}`,
    );
  expect(await refused({ "config.json": { model_type: "roberta", hidden_size: 8 } })).toContain('"roberta"');
  expect(await refused({ "config.json": { ...one, id2label: { 0: "a", 1: "b", 2: "c" } } })).toContain("3 classes");
  expect(await refused({}, [1, 2])).toContain("does not score"); // the graph has two outputs, its config one
  const encoder = writeTinyBert(join(folder, "encoder"), embeddingGraph(), { "config.json": one });
  await expect(openReranker(encoder)).rejects.toThrow("does not score");
  const weightless = rerankerFolder();
  rmSync(join(weightless, "onnx"), { recursive: true });
  await expect(openReranker(weightless)).rejects.toMatchObject({
    hint: expect.stringContaining("text-classification"),
  });
});

const passages: readonly Passage[] = [
  { id: "a", title: "red", text: "red red red river" },
  { id: "b", title: "blue", text: "fox" },
  { id: "c", title: "red fox", text: "" },
];

test("the best of a search come in the reranker's order, with its scores", async () => {
  const corpus = join(folder, "corpus.jsonl");
  writeFileSync(corpus, passages.map((passage) => `${JSON.stringify(passage)}\n`).join(""));
  const index = join(folder, "index");
  await runIndexBuild(corpus, index, {});
  const ids = async (search: { readonly rerank?: string; readonly rerankDepth?: number }, k = 3) => {
    const { searcher } = await openSearch({ source: "index", path: index, ...search });
    const results = await searcher.search(["red fox", ""], { k });
    const { hash } = searcher.info();
    await searcher.close();
    expect(results[1]).toEqual({ ok: true, hits: [] });
    const [first] = results;
    return { hash, hits: first?.ok ? first.hits.map(({ id, score, rank }) => [id, score, rank]) : first };
  };
  const rerank = rerankerFolder();
  const plain = await ids({});
  const best = await ids({ rerank });
  expect(best.hits).toEqual([
    ["a", 4, 1],
    ["c", 2, 2],
    ["b", 1, 3],
  ]);
  const score = expect.any(Number);
  expect(plain.hits).toEqual([
    ["c", score, 1],
    ["a", score, 2],
    ["b", score, 3],
  ]);
  expect((await ids({ rerank }, 1)).hits).toEqual([["a", 4, 1]]);
  expect(best.hash).not.toBe(plain.hash);
  expect((await ids({ rerank, rerankDepth: 3 })).hash).not.toBe(best.hash);
  await expect(openSearch({ source: "index", path: index, rerankDepth: 3 })).rejects.toThrow("without search.rerank");
});

test("a reranker that fails fails its query alone, and a failed search stays one", async () => {
  const reranker = await openReranker(rerankerFolder());
  const inner = memorySearcher(passages);
  const breaking: Reranker = {
    ...reranker,
    score: (query, texts, signal) =>
      query === "fox" ? scores("/nowhere", query, texts) : reranker.score(query, texts, signal),
  };
  const searcher = rerankedSearcher(inner, breaking);
  const results = await searcher.search(["fox", "red"], { k: 2 });
  expect(results.map(({ ok }) => ok)).toEqual([false, true]);
  await searcher.close();
  const error = { message: "away", retryable: true };
  const failing = { ...memorySearcher(passages), search: async () => [{ ok: false as const, error }] };
  const behind = rerankedSearcher(failing, await openReranker(rerankerFolder()));
  expect(await behind.search(["fox"], { k: 1 })).toEqual([{ ok: false, error }]);
  await behind.close();
});

// scores of the tiny model tie for words that it does not know: then the order of the search stands
const checks = searcherConformance("reranked", async (given) =>
  rerankedSearcher(memorySearcher(given), await openReranker(rerankerFolder())),
);
for (const { name, run } of checks) test(name, run);
