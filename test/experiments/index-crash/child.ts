/**
 * @file What `index-crash.ts` kills: writes to an index, and dies by SIGKILL before the n-th call that makes something
 * durable (fsync or rename), or that encodes passages. Arguments: what to do, index folder, n. Prints how many calls there
 * were, and how many passages were encoded.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import type { Passage } from "../../../src/protocol/passage.ts";

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

const { buildIndex } = await import("../../../src/search/bm25/build.ts");
const { appendToIndex, mergeIndex } = await import("../../../src/search/bm25/grow.ts");
const { buildDenseIndex } = await import("../../../src/search/dense/build.ts");
const { appendToDenseIndex } = await import("../../../src/search/dense/append.ts");
const { wordsEncoder } = await import("../../../src/search/dense/testing/words-encoder.ts");
const { crashPassages, BUILT, RUN } = await import("./corpus.ts");

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
const inner = wordsEncoder(64);
let encoded = 0;
const encoder = {
  ...inner,
  encodePassages: counted((texts: readonly string[]) => {
    encoded += texts.length;
    return inner.encodePassages(texts);
  }),
};
const passages = () => asyncOf(crashPassages.slice(0, BUILT));
if (what === "dense") await buildDenseIndex(passages(), directory!, { encoder, resume: true });
if (what === "dense-overwrite")
  await buildDenseIndex(passages(), directory!, { encoder, overwrite: true, resume: true });
if (what === "dense-append") await appendToDenseIndex(asyncOf(crashPassages.slice(BUILT)), directory!, { encoder });
process.stdout.write(`${JSON.stringify({ calls: Number(at) - left, encoded })}\n`);
