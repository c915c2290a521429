import { createHash, hash } from "node:crypto";
import { toJson } from "../../base/jsonl.ts";
import type { Passage } from "../../protocol/passage.ts";
import type { SearcherInfo } from "../searcher.ts";
import type { Bm25 } from "./score.ts";

/** One line of JSON per passage. JSON escapes lone surrogates, so any string is read back unchanged. */
export const passageRecord = ({ id, title, text }: Passage) => `${toJson({ id, title, text })}\n`;

const PRIME = (1n << 127n) - 1n;
const BASE = 0x5bd1e995_9d3b4f27_c2b2ae3d_27d4eb2fn % PRIME;

/**
 * Equal for equal corpora in equal order, however the index is divided into segments. It is a polynomial over the
 * SHA-256 of the records, so the hash of two adjacent runs of passages can be computed from the hashes of both.
 */
export class CorpusHash {
  #value = 0n;
  #passages = 0;

  add(record: string | Uint8Array): void {
    this.#value = (this.#value * BASE + BigInt(`0x${hash("sha256", record, "hex").slice(0, 32)}`)) % PRIME;
    this.#passages++;
  }

  /** Adds a run of passages that was hashed separately. */
  append(run: { readonly passages: number; readonly corpus: string }): void {
    this.#value = (this.#value * power(BASE, run.passages) + BigInt(`0x${run.corpus}`)) % PRIME;
    this.#passages += run.passages;
  }

  get passages(): number {
    return this.#passages;
  }

  digest(): string {
    return this.#value.toString(16).padStart(32, "0");
  }
}

/** Exponentiation by squaring, modulo PRIME. */
function power(base: bigint, exponent: number): bigint {
  let result = 1n;
  let square = base;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = (result * square) % PRIME;
    square = (square * square) % PRIME;
  }
  return result;
}

export function bm25Info(
  settings: Bm25 & { readonly analyzer: string },
  corpus: { readonly passages: number; readonly hash: string },
): SearcherInfo {
  const { analyzer, k1, b } = settings;
  const digest = createHash("sha256")
    .update(toJson(["bm25", { analyzer, k1, b }, corpus.hash]))
    .digest("hex");
  return { kind: "bm25", passages: corpus.passages, hash: digest, settings: { analyzer, k1, b } };
}
