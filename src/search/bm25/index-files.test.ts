import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DataError } from "../../base/errors.ts";
import { randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { readCorpus } from "../corpus.ts";
import { buildIndex } from "./build.ts";
import { openIndex } from "./open.ts";

const folder = mkdtempSync(join(tmpdir(), "index-"));
const whole = join(folder, "whole");
const passages: readonly Passage[] = Array.from({ length: 300 }, (_, i) => ({
  id: `p${i}`,
  title: `Title ${i % 13}`,
  text: `common words and number ${i} of kind${i % 7}`,
}));

async function* corpus(items: readonly Passage[] = passages): AsyncGenerator<Passage> {
  yield* items;
}

beforeAll(async () => {
  await buildIndex(corpus(), whole, { segmentPassages: 200 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A copy of the index to damage. */
function copied(name: string): string {
  const directory = join(folder, name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  for (const file of readdirSync(whole)) writeFileSync(join(directory, file), readFileSync(join(whole, file)));
  return directory;
}

const leftovers = () => readdirSync(folder).filter((name) => name.includes(".building") || name.includes(".replaced"));

test("the report counts passages and the bytes on disk, and progress reaches the end", async () => {
  const directory = join(folder, "report");
  const seen: number[] = [];
  const report = await buildIndex(corpus(), directory, { onProgress: ({ passages }) => seen.push(passages) });
  const bytes = readdirSync(directory).reduce((sum, file) => sum + readFileSync(join(directory, file)).length, 0);
  expect(report).toMatchObject({ passages: 300, bytes });
  expect(report.seconds).toBeGreaterThan(0);
  expect(seen.at(-1)).toBe(300);
});

test("an index holds its corpus in a file that reads as one", async () => {
  const read: Passage[] = [];
  for (const part of ["segment-000000", "segment-000001"]) {
    for await (const passage of readCorpus(join(whole, `${part}.passages.jsonl.gz`))) read.push(passage);
  }
  expect(read).toEqual(passages);
});

test("every file that is cut, lengthened or missing is named when the index is opened", async () => {
  for (const file of readdirSync(whole)) {
    const size = readFileSync(join(whole, file)).length;
    for (const damage of ["empty", "half", "longer", "missing"]) {
      const directory = copied("cut");
      if (damage === "missing") rmSync(join(directory, file));
      else if (damage === "longer") writeFileSync(join(directory, file), "x", { flag: "a" });
      else truncateSync(join(directory, file), damage === "empty" ? 0 : size >> 1);
      const opening = openIndex(directory);
      await expect(opening, `${file}: ${damage}`).rejects.toThrow(DataError);
      await expect(opening, `${file}: ${damage}`).rejects.toThrow(file);
    }
  }
});

test("a flipped byte anywhere is a DataError, or in the manifest's white space makes no difference", async () => {
  const random = randomOf(1, "flip");
  const files = readdirSync(whole);
  const clean = await openIndex(whole);
  const info = clean.info();
  await clean.close();
  for (let i = 0; i < 160; i++) {
    const file = i < 80 ? "manifest.json" : random.pick(files);
    const directory = join(folder, "cut");
    const bytes = readFileSync(join(whole, file));
    const original = bytes.toString("latin1");
    const at = random.int(bytes.length);
    bytes[at]! ^= 1 + random.int(255);
    copied("cut");
    writeFileSync(join(directory, file), bytes);
    const outcome = await openIndex(directory).catch((error: unknown) => error);
    if (outcome instanceof Error) {
      expect(outcome, `${file} byte ${at}`).toBeInstanceOf(DataError);
    } else {
      const searcher = outcome as Awaited<ReturnType<typeof openIndex>>;
      expect(`${file} "${original[at]}"`).toMatch(/^manifest.json "\s"$/);
      expect(searcher.info()).toEqual(info);
      await searcher.close();
    }
  }
});

test("damage after opening fails single queries, never the batch and never the process, and no answer is another", async () => {
  const random = randomOf(2, "damage");
  const queries = ["common words", "kind3", "number 17", "title 5 kind2"];
  const clean = await openIndex(whole);
  const expected = await clean.search(queries, { k: 5 });
  await clean.close();
  for (const part of ["postings", "passages.jsonl.gz", "offsets"]) {
    for (let i = 0; i < 15; i++) {
      const directory = copied("live");
      const searcher = await openIndex(directory);
      const file = join(directory, `segment-000000.${part}`);
      const bytes = readFileSync(file);
      if (i === 0) truncateSync(file, 3);
      else {
        for (let flips = 0; flips < 20; flips++) bytes[random.int(bytes.length)] = random.int(256);
        writeFileSync(file, bytes);
      }
      const results = await searcher.search(queries, { k: 5 });
      expect(results).toHaveLength(queries.length);
      for (const [at, result] of results.entries())
        if (result.ok) expect(result).toEqual(expected[at]);
        else
          expect(result.error).toMatchObject({
            retryable: false,
            message: expect.stringMatching(/damaged|ends early|was changed/),
          });
      if (i === 0) expect(results.some(({ ok }) => !ok)).toBe(true);
      await searcher.close();
    }
  }
});

test("a folder that is absent or no index is named, with the command that builds one", async () => {
  await expect(openIndex(join(folder, "nowhere"))).rejects.toThrow(/there is no index at .*nowhere/);
  const empty = join(folder, "empty");
  mkdirSync(empty);
  await expect(openIndex(empty)).rejects.toMatchObject({
    name: "DataError",
    hint: expect.stringContaining("index build"),
  });
});

test("another version or analyzer asks for a rebuild", async () => {
  for (const [from, to, message] of [
    ['"version": 2', '"version": 1', /version 1; this program reads version 2/],
    ["unicode-v1", "porter-v9", /analyzer porter-v9/],
    ["r1-searcher/bm25", "other/bm25", /format is "other\/bm25"/],
  ] as const) {
    const manifest = join(copied("version"), "manifest.json");
    writeFileSync(manifest, readFileSync(manifest, "utf8").replace(from, to));
    await expect(openIndex(join(folder, "version"))).rejects.toThrow(message);
  }
});

test("an existing folder is refused, an index is replaced when that is allowed, other folders never", async () => {
  const directory = copied("existing");
  await expect(buildIndex(corpus(), directory)).rejects.toMatchObject({
    name: "ConfigError",
    message: expect.stringContaining("exists"),
  });
  expect(await buildIndex(corpus(passages.slice(0, 10)), directory, { overwrite: true })).toMatchObject({
    passages: 10,
  });
  const searcher = await openIndex(directory);
  expect(searcher.info().passages).toBe(10);
  await searcher.close();
  const other = join(folder, "other");
  mkdirSync(other);
  writeFileSync(join(other, "thesis.txt"), "years of work");
  await expect(buildIndex(corpus(), other, { overwrite: true })).rejects.toThrow(/not an index/);
  expect(readFileSync(join(other, "thesis.txt"), "utf8")).toBe("years of work");
  expect(leftovers()).toEqual([]);
});

test("an empty corpus and one that fails half way leave nothing, and an index that was there stays", async () => {
  const directory = join(folder, "failed");
  await expect(buildIndex(corpus([]), directory)).rejects.toMatchObject({
    name: "DataError",
    message: "the corpus holds no passage",
  });
  async function* failing(): AsyncGenerator<Passage> {
    yield* passages;
    throw new DataError("corpus.jsonl:301 is not JSON");
  }
  await expect(buildIndex(failing(), directory, { segmentPassages: 100 })).rejects.toThrow(
    "corpus.jsonl:301 is not JSON",
  );
  expect(existsSync(directory)).toBe(false);
  const kept = copied("kept");
  await expect(buildIndex(failing(), kept, { overwrite: true })).rejects.toThrow("corpus.jsonl:301");
  expect((await openIndex(kept)).info().passages).toBe(300);
  expect(leftovers()).toEqual([]);
});

test("a place that cannot be written is a ConfigError with a remedy", async () => {
  writeFileSync(join(folder, "file"), "");
  await expect(buildIndex(corpus(), join(folder, "file", "index"))).rejects.toMatchObject({
    name: "ConfigError",
    message: expect.stringContaining("cannot be written"),
    hint: expect.stringContaining("choose another folder"),
  });
});
