import { dirname, resolve } from "node:path";
import { DataError } from "../base/errors.ts";
import type { Passage } from "../protocol/passage.ts";
import { type BuildOptions, type BuildReport, buildIndex } from "../search/bm25/build.ts";
import { readCorpus } from "../search/corpus.ts";
import { makeWritable } from "./writable-folder.ts";

/** Builds an index of a corpus file; a failure leaves nothing. */
export async function runIndexBuild(corpus: string, directory: string, options: BuildOptions): Promise<BuildReport> {
  const removeFolders = makeWritable(dirname(resolve(directory)));
  try {
    return await buildIndex(passagesOf(corpus), directory, options);
  } catch (cause) {
    removeFolders();
    throw cause;
  }
}

export async function* passagesOf(corpus: string): AsyncGenerator<Passage> {
  let isEmpty = true;
  for await (const passage of readCorpus(corpus)) {
    isEmpty = false;
    yield passage;
  }
  if (isEmpty)
    throw new DataError(`${corpus} holds no passage`, {
      hint: "give a file with at least one row of id, title and text",
    });
}
