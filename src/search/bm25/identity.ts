import { createHash } from "node:crypto";
import { toJson } from "../../base/jsonl.ts";
import type { Passage } from "../../protocol/passage.ts";
import { ANALYZER } from "../analyzer.ts";
import type { SearcherInfo } from "../searcher.ts";
import type { Bm25 } from "./score.ts";

/** One line of JSON per passage. JSON escapes lone surrogates, so any string comes back as it was. */
export const passageRecord = ({ id, title, text }: Passage) => `${toJson({ id, title, text })}\n`;

/** Equal for equal corpora in equal order, whatever the index and its segments. */
export class CorpusHash {
  readonly #hash = createHash("sha256");

  add(record: string | Uint8Array): void {
    this.#hash.update(record);
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

export function bm25Info(bm25: Bm25, corpus: { readonly passages: number; readonly hash: string }): SearcherInfo {
  const settings = { analyzer: ANALYZER, k1: bm25.k1, b: bm25.b };
  const hash = createHash("sha256")
    .update(toJson(["bm25", settings, corpus.hash]))
    .digest("hex");
  return { kind: "bm25", passages: corpus.passages, hash, settings };
}
