/**
 * @file Damaged index files: each is refused when the index is opened or fails the queries that meet it, with an error
 * that says so. None crashes, hangs, or changes an answer.
 *   npm run experiment -- index-mutations [--count 2000] [--kinds bm25,dense]
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { programOptions } from "../../scripts/program-options.ts";
import { DataError } from "../../src/base/errors.ts";
import { type Random, randomOf } from "../../src/base/random.ts";
import type { Passage } from "../../src/protocol/passage.ts";
import { buildIndex } from "../../src/search/bm25/build.ts";
import { openIndex } from "../../src/search/bm25/open.ts";
import { buildDenseIndex } from "../../src/search/dense/build.ts";
import { openDenseIndex } from "../../src/search/dense/open.ts";
import { wordsEncoder } from "../../src/search/dense/testing/words-encoder.ts";
import type { QueryResult, Searcher } from "../../src/search/searcher.ts";

const help = `Damages files of an index in many ways. Each must be refused when the index is opened, or fail the queries that
read what is damaged, with an error that says so; none may crash, hang or change an answer.

usage: npm run experiment -- index-mutations [options]
  --count <n>       damaged files of each kind of index (default: 2000)
  --kinds <a,b>     of bm25, dense (default: both)
  --help
`;
const { values } = programOptions(help, {
  count: { type: "string", default: "2000" },
  kinds: { type: "string", default: "bm25,dense" },
});

interface Kind {
  build(corpus: AsyncIterable<Passage>, directory: string): Promise<unknown>;
  open(directory: string, verify: boolean): Promise<Searcher>;
}
const encoder = wordsEncoder(64);
const kinds: Readonly<Record<string, Kind>> = {
  bm25: {
    build: (passages, directory) => buildIndex(passages, directory, { segmentPassages: 400 }),
    // half of them as a large index is opened: pages are checked when they are read
    open: (directory, verify) => openIndex(directory, { verify }),
  },
  dense: {
    build: (passages, directory) => buildDenseIndex(passages, directory, { encoder }),
    open: (directory, isInt8) => openDenseIndex(directory, { encoder, scan: isInt8 ? "int8" : "bits" }),
  },
};

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

async function outcomeOf(open: () => Promise<Searcher>, expected: readonly QueryResult[]): Promise<keyof Counts> {
  let searcher: Searcher;
  try {
    searcher = await open();
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

async function mutate({ build, open }: Kind): Promise<Record<string, Counts>> {
  const folder = mkdtempSync(join(tmpdir(), "index-mutations-"));
  const [whole, damaged] = [join(folder, "whole"), join(folder, "damaged")];
  const counts: Record<string, Counts> = {};
  try {
    await build(corpus(), whole);
    const clean = await open(whole, true);
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
      const outcome = await outcomeOf(() => open(damaged, i % 2 === 0), expected).catch((error) => {
        throw new Error(`mutation ${i}, ${name} of ${file}: ${error.message}`, { cause: error });
      });
      counts[name] ??= { refused: 0, failed: 0, same: 0 };
      counts[name][outcome]++;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return counts;
}

async function main(): Promise<void> {
  for (const name of values.kinds.split(",")) {
    const kind = kinds[name];
    if (kind === undefined) throw new Error(`there is no kind "${name}": ${Object.keys(kinds).join(", ")}`);
    for (const [what, { refused, failed, same }] of Object.entries(await mutate(kind)))
      process.stdout.write(
        `${name.padEnd(6)}${what.padEnd(26)} refused ${refused}, queries failed ${failed}, unread or unchanged ${same}\n`,
      );
    process.stdout.write(`${name}: ${values.count} mutated files: 0 crashes, 0 other answers\n`);
  }
}

await main();
