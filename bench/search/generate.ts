/** @file Writes `corpus.jsonl` of so many synthetic passages into a folder, unless it is there, and `queries.json`. */

import { once } from "node:events";
import { createWriteStream, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { syntheticPassages, syntheticQueries } from "./synthetic.ts";

/** Of each kind, for each use. */
export const QUERIES = 300;

export async function generate(directory: string, passages: number): Promise<{ corpus: string; queries: string }> {
  mkdirSync(directory, { recursive: true });
  const files = { corpus: join(directory, "corpus.jsonl"), queries: join(directory, "queries.json") };
  const [warm, ranked, read] = ["warm", "ranked", "read"].map((use) => syntheticQueries(passages, QUERIES, use));
  const of = (kind: "keywords" | "allWords") => ({ warm: warm![kind], ranked: ranked![kind], read: read![kind] });
  writeFileSync(files.queries, JSON.stringify({ keywords: of("keywords"), allWords: of("allWords") }));
  if (existsSync(files.corpus)) return files;
  const draft = `${files.corpus}.draft`;
  const out = createWriteStream(draft);
  let lines: string[] = [];
  for (const passage of syntheticPassages(passages)) {
    lines.push(`${JSON.stringify(passage)}\n`);
    if (lines.length < 2000) continue;
    if (!out.write(lines.join(""))) await once(out, "drain");
    lines = [];
  }
  out.end(lines.join(""));
  await once(out, "finish");
  renameSync(draft, files.corpus);
  return files;
}
