import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type Random, randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { buildIndex } from "./build.ts";
import { openIndex } from "./open.ts";
import { rankPassages } from "./rank.ts";
import { WINDOW } from "./score-window.ts";

const folder = mkdtempSync(join(tmpdir(), "retrieve-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const WORDS = 3000;
/** Few words are in most passages and most in few. */
const word = (random: Random) => `w${Math.floor(WORDS ** random.next()) - 1}`;
const textOf = (random: Random, most: number) =>
  Array.from({ length: 1 + random.int(most) }, () => word(random)).join(" ");

function corpusOf(seed: number, size: number): Passage[] {
  const random = randomOf(seed, "retrieve-test");
  return Array.from({ length: size }, (_, i) => ({ id: String(i), title: "", text: textOf(random, 12) }));
}

function queriesOf(seed: number): string[] {
  const random = randomOf(seed, "retrieve-queries");
  const long = Array.from({ length: 60 }, () => word(random)).join(" "); // scored without pruning
  return [...Array.from({ length: 60 }, () => textOf(random, 6)), long, "w2999", "w0 w2998"];
}

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

for (const k of [1, 10, 300]) {
  test(`the best ${k} of segments of several windows equal those of every passage scored, bit for bit`, async () => {
    const passages = corpusOf(k, 3 * WINDOW + 100);
    const directory = join(folder, `windows-${k}`);
    await buildIndex(asyncOf(passages), directory, { segmentPassages: 2 * WINDOW + 1 });
    const searcher = await openIndex(directory);
    const rank = rankPassages(passages);
    const queries = queriesOf(k);
    const results = await searcher.search(queries, { k });
    expect(results).toEqual(queries.map((query) => ({ ok: true, hits: rank(query, k) })));
    await searcher.close();
  });
}

test("a query that meets a damaged page fails, and leaves nothing behind for the next", async () => {
  const passages = corpusOf(4, 2 * WINDOW);
  const directory = join(folder, "damaged");
  await buildIndex(asyncOf(passages), directory, { threads: 1 });
  const file = join(directory, "segment-000000.postings");
  const bytes = readFileSync(file);
  const page = 1 << 14;
  expect(bytes.length).toBeGreaterThan(4 * page);
  bytes[3 * page + 5]! ^= 1;
  writeFileSync(file, bytes);
  const searcher = await openIndex(directory, { verify: false });
  const rank = rankPassages(passages);
  let failed = 0;
  for (const query of queriesOf(4)) {
    const [result] = await searcher.search([query], { k: 10 });
    if (result!.ok) expect(result!.hits).toEqual(rank(query, 10));
    else failed++;
  }
  expect(failed).toBeGreaterThan(3);
  expect(failed).toBeLessThan(60);
  await searcher.close();
});
