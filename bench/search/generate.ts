/** @file Writes `corpus.jsonl` and `queries.json` of so many synthetic passages into a folder. */

import { once } from "node:events";
import { createWriteStream, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { syntheticPassages, syntheticQueries } from "./synthetic.ts";

export async function generate(directory: string, passages: number): Promise<{ corpus: string; queries: string }> {
  mkdirSync(directory, { recursive: true });
  const files = { corpus: join(directory, "corpus.jsonl"), queries: join(directory, "queries.json") };
  if (existsSync(files.queries)) return files;
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
  writeFileSync(files.queries, JSON.stringify(syntheticQueries(passages, 300)));
  return files;
}
