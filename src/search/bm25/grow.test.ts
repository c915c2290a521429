import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { buildIndex } from "./build.ts";
import { appendToIndex, mergeIndex } from "./grow.ts";
import { openIndex } from "./open.ts";
import { memorySearcher } from "./searcher.ts";

const folder = mkdtempSync(join(tmpdir(), "grow-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function somePassages(seed: number, size: number): Passage[] {
  const random = randomOf(seed, "grow");
  const text = (most: number) =>
    Array.from({ length: random.int(most + 1) }, () => `w${Math.floor(50 ** random.next())}`).join(" ");
  return Array.from({ length: size }, (_, i) => ({ id: `p${i}`, title: text(2), text: text(12) }));
}

const queries = ["w1", "w3 w40 w7", "w2 w2 w9", "w1 w2 w3 w4 w5 w6 w7 w8", "nothing"];

test("after any appends and merges, hits, scores and hash are those of all passages in memory", async () => {
  const action = fc.oneof(
    fc.record({ append: fc.integer({ min: 1, max: 400 }), run: fc.integer({ min: 20, max: 400 }) }),
    fc.record({ merge: fc.constantFrom(150, 500, 10_000) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(action, { minLength: 1, maxLength: 5 }), async (seed, actions) => {
      const passages = somePassages(seed, 2300);
      const directory = join(folder, String(made++));
      let size = 300;
      await buildIndex(asyncOf(passages.slice(0, size)), directory, { segmentPassages: 170, runPassages: 60 });
      for (const step of actions) {
        if ("merge" in step) {
          await mergeIndex(directory, { segmentPassages: step.merge });
        } else {
          const more = passages.slice(size, size + step.append);
          await appendToIndex(asyncOf(more), directory, { runPassages: step.run });
          size += more.length;
        }
      }
      const [disk, memory] = [await openIndex(directory), memorySearcher(passages.slice(0, size))];
      expect(disk.info()).toEqual(memory.info());
      expect(await disk.search(queries, { k: 10 })).toEqual(await memory.search(queries, { k: 10 }));
      await disk.close();
    }),
    { numRuns: 12 },
  );
});

test("a merge to one segment gives the files of an index built at once, and leaves no other", async () => {
  const passages = somePassages(3, 700);
  const [grown, built] = [join(folder, "grown"), join(folder, "built")];
  await buildIndex(asyncOf(passages.slice(0, 300)), grown);
  await appendToIndex(asyncOf(passages.slice(300)), grown);
  const open = await openIndex(grown);
  const report = await mergeIndex(grown);
  expect(report).toMatchObject({ passages: 700, segments: 1 });
  expect(await open.search(["w3"], { k: 3 })).toEqual(await memorySearcher(passages).search(["w3"], { k: 3 }));
  await open.close();
  await buildIndex(asyncOf(passages), built);
  const bytesOf = (directory: string, part: string) => {
    const name = readdirSync(directory).find((file) => file.endsWith(part))!;
    return readFileSync(join(directory, name)).toString("base64");
  };
  for (const part of ["terms", "postings", "lengths"]) expect(bytesOf(grown, part)).toBe(bytesOf(built, part));
  expect(readdirSync(grown)).toHaveLength(7);
});

test("threads change no byte", async () => {
  const passages = somePassages(4, 6300);
  const [alone, threads] = [join(folder, "alone"), join(folder, "threads")];
  await buildIndex(asyncOf(passages), alone, { threads: 1, runPassages: 400 });
  await buildIndex(asyncOf(passages), threads, { threads: 2, runPassages: 400 });
  const filesOf = (directory: string) =>
    readdirSync(directory).map((file) => [file, readFileSync(join(directory, file)).toString("base64")]);
  expect(filesOf(threads)).toEqual(filesOf(alone));
});

test("an append that fails leaves the index and its folder as they were", async () => {
  const passages = somePassages(5, 100);
  const directory = join(folder, "failing");
  await buildIndex(asyncOf(passages), directory);
  const before = readdirSync(directory);
  async function* failing(): AsyncGenerator<Passage> {
    yield* passages;
    throw new Error("the disk of the corpus is gone");
  }
  await expect(appendToIndex(failing(), directory, { runPassages: 30 })).rejects.toThrow(
    "the disk of the corpus is gone",
  );
  await expect(appendToIndex(asyncOf([]), directory)).rejects.toThrow("the corpus holds no passage");
  expect(readdirSync(directory)).toEqual(before);
  expect((await openIndex(directory)).info().passages).toBe(100);
});

test("a stopped build keeps what it wrote, and resumed it ends as one that was never stopped", async () => {
  const passages = somePassages(6, 1200);
  const [stopped, whole] = [join(folder, "stopped"), join(folder, "whole")];
  const controller = new AbortController();
  async function* stopping(): AsyncGenerator<Passage> {
    for (const [i, passage] of passages.entries()) {
      if (i === 700) controller.abort();
      yield passage;
    }
  }
  const options = { runPassages: 100 } as const;
  await expect(buildIndex(stopping(), stopped, { ...options, signal: controller.signal })).rejects.toMatchObject({
    name: "InterruptedError",
    hint: expect.stringContaining("--resume"),
  });
  await expect(openIndex(stopped)).rejects.toThrow(/there is no index/);
  await expect(openIndex(`${stopped}.building`)).rejects.toThrow(/not finished/);
  await expect(buildIndex(asyncOf(passages), stopped, options)).rejects.toThrow(/of a build that was stopped/);
  await expect(buildIndex(asyncOf(passages), stopped, { ...options, resume: true, k1: 2 })).rejects.toThrow(
    /started with k1 0.9, not 2/,
  );
  let first = 0;
  await buildIndex(asyncOf(passages), stopped, {
    ...options,
    resume: true,
    onProgress: (progress) => (first ||= progress.passages),
  });
  expect(first).toBeGreaterThan(700);
  await buildIndex(asyncOf(passages), whole, options);
  const [a, b] = [await openIndex(stopped), await openIndex(whole)];
  expect(a.info()).toEqual(b.info());
  expect(await a.search(queries, { k: 10 })).toEqual(await b.search(queries, { k: 10 }));
  await Promise.all([a.close(), b.close()]);
  expect(readdirSync(folder).filter((name) => name.startsWith("stopped"))).toEqual(["stopped"]);
});

test("a corpus that changed meanwhile is not resumed", async () => {
  const passages = somePassages(7, 400);
  const directory = join(folder, "changed");
  const signal = AbortSignal.abort();
  const options = { runPassages: 100, resume: true } as const;
  await expect(buildIndex(asyncOf(passages), directory, { ...options, signal })).rejects.toThrow(/stopped/);
  const changed = passages.with(20, { ...passages[20]!, text: "another" });
  await expect(buildIndex(asyncOf(changed), directory, options)).rejects.toThrow(/no longer begins with the passages/);
});
