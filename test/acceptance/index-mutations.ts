/**
 * @file Damaged index files: each is refused when the index is opened or fails the queries that meet it, with an error
 * that says so. None crashes, hangs, or changes an answer.
 *   npm run index-mutations [-- --count 2000]
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { DataError } from "../../src/base/errors.ts";
import { type Random, randomOf } from "../../src/base/random.ts";
import type { Passage } from "../../src/protocol/passage.ts";
import { buildIndex } from "../../src/search/bm25/build.ts";
import { openIndex } from "../../src/search/bm25/open.ts";
import type { QueryResult } from "../../src/search/searcher.ts";

const { values } = parseArgs({ options: { count: { type: "string", default: "2000" } } });

async function* corpus(): AsyncGenerator<Passage> {
  for (let i = 0; i < 700; i++)
    yield {
      id: `p${i}`,
      title: `Title ${i % 13}`,
      text: `common words and number ${i} of kind${i % 7} ${"x".repeat(i % 90)}`,
    };
}
const queries = ["common words", "kind3 number", "number 17", "title 5 kind2", "xxxxxxxxxx", "nothing here"];

type Mutation = (bytes: Buffer, random: Random, other: Buffer) => Buffer;

const mutations: Readonly<Record<string, Mutation>> = {
  "one bit": (bytes, random) => {
    bytes[random.int(bytes.length)]! ^= 1 << random.int(8);
    return bytes;
  },
  "some bytes": (bytes, random) => {
    for (let i = 0; i < 1 + random.int(8); i++) bytes[random.int(bytes.length)] = random.int(256);
    return bytes;
  },
  "a run of zeros": (bytes, random) => {
    const from = random.int(bytes.length);
    return bytes.fill(0, from, Math.min(bytes.length, from + 1 + random.int(600)));
  },
  "cut short": (bytes, random) => bytes.subarray(0, random.int(bytes.length)),
  lengthened: (bytes, random) => Buffer.concat([bytes, Buffer.alloc(1 + random.int(40), random.int(256))]),
  "two pieces swapped": (bytes, random) => {
    const size = 1 + random.int(Math.max(1, bytes.length >> 2));
    const [a, b] = [random.int(bytes.length - size), random.int(bytes.length - size)];
    const piece = Buffer.from(bytes.subarray(a, a + size));
    bytes.copyWithin(a, b, b + size);
    piece.copy(bytes, b);
    return bytes;
  },
  "another file of the index": (_, __, other) => other,
};

interface Counts {
  refused: number;
  failed: number;
  same: number;
}

async function outcomeOf(directory: string, expected: readonly QueryResult[], verify: boolean): Promise<keyof Counts> {
  let searcher: Awaited<ReturnType<typeof openIndex>>;
  try {
    searcher = await openIndex(directory, { verify });
  } catch (error) {
    if (error instanceof DataError) return "refused";
    throw error;
  }
  try {
    const results = await searcher.search(queries, { k: 5 });
    for (const [i, result] of results.entries())
      if (result.ok && !isDeepStrictEqual(result, expected[i])) throw new Error(`"${queries[i]}" has another answer`);
    return results.every(({ ok }) => ok) ? "same" : "failed";
  } finally {
    await searcher.close();
  }
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "index-mutations-"));
  const [whole, damaged] = [join(folder, "whole"), join(folder, "damaged")];
  const counts: Record<string, Counts> = {};
  try {
    await buildIndex(corpus(), whole, { segmentPassages: 400 });
    const clean = await openIndex(whole);
    const expected = await clean.search(queries, { k: 5 });
    await clean.close();
    mkdirSync(damaged);
    const files = readdirSync(whole);
    const random = randomOf(1, "mutations");
    for (let i = 0; i < Number(values.count); i++) {
      const [name, file, other] = [random.pick(Object.keys(mutations)), random.pick(files), random.pick(files)];
      for (const each of files) copyFileSync(join(whole, each), join(damaged, each));
      const bytes = mutations[name]!(readFileSync(join(whole, file)), random, readFileSync(join(whole, other)));
      writeFileSync(join(damaged, file), bytes);
      // half of them as a large index is opened: pages are checked when they are read
      const outcome = await outcomeOf(damaged, expected, i % 2 === 0).catch((error) => {
        throw new Error(`mutation ${i}, ${name} of ${file}: ${error.message}`, { cause: error });
      });
      counts[name] ??= { refused: 0, failed: 0, same: 0 };
      counts[name][outcome]++;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const [name, { refused, failed, same }] of Object.entries(counts))
    process.stdout.write(
      `${name.padEnd(26)} refused ${refused}, queries failed ${failed}, unread or unchanged ${same}\n`,
    );
  process.stdout.write(`${values.count} mutated files: 0 crashes, 0 other answers\n`);
}

await main();
