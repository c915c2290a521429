import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openEncoder } from "./open-encoder.ts";
import { openIndexFolder } from "./open-index.ts";
import { runDenseBuild, runIndexBuild } from "./run-index-build.ts";
import { embeddingGraph, tinyWords, writeTinyBert } from "./testing/tiny-bert.ts";

const folder = mkdtempSync(join(tmpdir(), "encoder-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;

function encoderFolder(files: Readonly<Record<string, unknown>> = {}, name = String(made++)): string {
  const pooling = { pooling_mode_cls_token: false, pooling_mode_mean_tokens: true };
  return writeTinyBert(join(folder, name), embeddingGraph(), { "1_Pooling/config.json": pooling, ...files });
}

async function vectorOf(directory: string, text: string, options: Parameters<typeof openEncoder>[1] = {}) {
  const encoder = await openEncoder(directory, options);
  const [vector] = await encoder.encodeQueries([text]);
  await encoder.close();
  return Array.from(vector!, (x, i) => [tinyWords[i], Number(x.toFixed(4))] as const).filter(([, x]) => x !== 0);
}

test("the mean of the tokens' states, special tokens among them, at length 1", async () => {
  const expected = ["[CLS]", "[SEP]", "blue", "fox", "##s"].map((word) => [word, 0.4472]);
  const vector = await vectorOf(encoderFolder(), "Blue foxs");
  expect(new Map(vector as never)).toEqual(new Map(expected as never));
  const raw = await vectorOf(encoderFolder(), "blue", { normalize: false });
  expect(raw.map(([, x]) => x)).toEqual([0.3333, 0.3333, 0.3333]);
});

test("pooling by the first token, as folder or caller says", async () => {
  const cls = { "1_Pooling/config.json": { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false } };
  expect(await vectorOf(encoderFolder(cls), "red fox")).toEqual([["[CLS]", 1]]);
  expect(await vectorOf(encoderFolder(), "red fox", { pooling: "cls" })).toEqual([["[CLS]", 1]]);
});

test("a long text is cut and still closed", async () => {
  const vector = await vectorOf(encoderFolder(), "red blue fox river", { maxTokens: 4 });
  expect(vector.map(([word]) => word)).toEqual(["[CLS]", "[SEP]", "red", "blue"]);
});

test("a family's name gives prefix and pooling where the folder does not", async () => {
  const bare = { "1_Pooling/config.json": undefined };
  const e5 = await vectorOf(encoderFolder(bare, "e5-small-v2"), "fox");
  expect(e5.map(([word]) => word)).toEqual(["[CLS]", "[SEP]", "query", "fox", ":"]);
  const prompts = { "config_sentence_transformers.json": { prompts: { query: "river " } } };
  const told = await vectorOf(encoderFolder(prompts), "fox");
  expect(told.map(([word]) => word)).toEqual(["[CLS]", "[SEP]", "fox", "river"]);
  await expect(openEncoder(encoderFolder(bare))).rejects.toThrow("does not say how its encoder pools");
});

test("a folder that is no encoder is refused by name", async () => {
  const roberta = encoderFolder({ "config.json": { model_type: "roberta", hidden_size: 8 } });
  await expect(openEncoder(roberta)).rejects.toThrow('model_type is "roberta"');
  const weightless = encoderFolder();
  rmSync(join(weightless, "onnx"), { recursive: true });
  await expect(openEncoder(weightless)).rejects.toThrow("has no onnx/model.onnx");
});

const corpus = join(folder, "corpus.jsonl");
const rows = [
  { id: "a", title: "red", text: "fox" },
  { id: "b", title: "blue", text: "river" },
];
writeFileSync(corpus, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

async function first(directory: string, query: string, encoder?: string) {
  const searcher = await openIndexFolder(directory, { encoder });
  const [result] = await searcher.search([query], { k: 1 });
  const { kind } = searcher.info();
  await searcher.close();
  return { kind, id: result?.ok ? result.hits[0]?.id : result?.error.message };
}

test("what a folder holds decides how it is searched", async () => {
  const encoder = encoderFolder();
  const both = join(folder, "both");
  mkdirSync(both);
  await runIndexBuild(corpus, join(both, "bm25"), {});
  await runDenseBuild(corpus, join(both, "dense"), { encoder });
  expect(await first(join(both, "bm25"), "river")).toEqual({ kind: "bm25", id: "b" });
  expect(await first(join(both, "dense"), "river")).toEqual({ kind: "dense", id: "b" });
  expect(await first(both, "river")).toEqual({ kind: "hybrid", id: "b" });
  renameSync(encoder, `${encoder}-moved`);
  expect(await first(both, "fox", `${encoder}-moved`)).toEqual({ kind: "hybrid", id: "a" });
  const other = join(folder, "other.jsonl");
  writeFileSync(other, `${JSON.stringify(rows[0])}\n`);
  await runIndexBuild(other, join(both, "bm25"), { overwrite: true });
  await expect(openIndexFolder(both, { encoder: `${encoder}-moved` })).rejects.toThrow("different corpora");
});

test("an encoder behind /v1/embeddings gets prefixes; its outage fails queries, not the batch", async () => {
  const asked: string[][] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { input } = JSON.parse(text) as { input: string[] };
    asked.push(input);
    const data = input.map((one, index) => ({ index, embedding: [Number(one.includes("fox")), 1] }));
    response.end(JSON.stringify({ data }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const encoder = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1?model=some`;
  const directory = join(folder, "remote");
  await runDenseBuild(corpus, directory, { encoder, using: { queryPrefix: "q: ", passagePrefix: "p: " } });
  expect(await first(directory, "fox")).toEqual({ kind: "dense", id: "a" });
  expect(asked).toEqual([["p: red fox", "p: blue river"], ["q: fox"]]);
  server.close();
  server.closeAllConnections();
  expect((await first(directory, "fox")).id).toContain("127.0.0.1");
  await expect(openEncoder("http://127.0.0.1:1/v1")).rejects.toThrow("names no model");
});
