import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, test } from "vitest";
import { buildIndex } from "./bm25/build.ts";
import { openIndex } from "./bm25/open.ts";
import { memorySearcher } from "./bm25/searcher.ts";
import { searcherConformance } from "./conformance.ts";

const folder = mkdtempSync(join(tmpdir(), "conformance-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let built = 0;
const onDisk = (segmentPassages: number) =>
  searcherConformance(`index on disk, ${segmentPassages} passages per segment`, async (passages) => {
    const directory = join(folder, String(built++));
    await buildIndex(asyncOf(passages), directory, { segmentPassages });
    return openIndex(directory);
  });

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

const inMemory = searcherConformance("index in memory", async (passages) => memorySearcher(passages));

for (const { name, run } of [...inMemory, ...onDisk(1000), ...onDisk(2)]) test(name, run);
