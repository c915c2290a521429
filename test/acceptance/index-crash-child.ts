/**
 * @file What `index-crash.ts` kills: writes to an index, and dies by SIGKILL before the n-th call that makes something
 * durable (fsync or rename). Arguments: what to do, index folder, n.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import type { Passage } from "../../src/protocol/passage.ts";

const [what, directory, at] = process.argv.slice(2);
let left = Number(at);

function counted<Arguments extends unknown[], Result>(call: (...given: Arguments) => Result) {
  return (...given: Arguments): Result => {
    if (--left === 0) process.kill(process.pid, "SIGKILL");
    return call(...given);
  };
}
fs.fsyncSync = counted(fs.fsyncSync);
fs.renameSync = counted(fs.renameSync);
syncBuiltinESMExports();

const { buildIndex } = await import("../../src/search/bm25/build.ts");
const { appendToIndex, mergeIndex } = await import("../../src/search/bm25/grow.ts");
const { crashPassages, BUILT, RUN } = await import("./index-crash-corpus.ts");

async function* asyncOf(passages: readonly Passage[]): AsyncGenerator<Passage> {
  yield* passages;
}

const options = { runPassages: RUN, threads: 1 };
if (what === "build")
  await buildIndex(asyncOf(crashPassages.slice(0, BUILT)), directory!, { ...options, resume: true });
if (what === "overwrite")
  await buildIndex(asyncOf(crashPassages.slice(0, BUILT)), directory!, { ...options, overwrite: true, resume: true });
if (what === "append") await appendToIndex(asyncOf(crashPassages.slice(BUILT)), directory!, options);
if (what === "merge") await mergeIndex(directory!);
process.stdout.write(`${Number(at) - left}\n`);
