/** @file BM25 over passages in memory: exact, deterministic, and fast enough to be built for every fictional world. */
import type { Passage } from "../../protocol/passage.ts";
import { type Analyzer, defaultAnalyzer } from "../analyzer.ts";
import type { Hit } from "../searcher.ts";
import {
  type Bm25,
  bm25Parameters,
  checkK,
  inverseDocumentFrequency,
  lengthNorm,
  queryTerms,
  termScore,
} from "./score.ts";
import { TopK } from "./top-k.ts";

/** The text of a passage that is indexed. */
export const searchable = ({ title, text }: Passage) => `${title} ${text}`;

/**
 * @returns a function from query and k to the k best passages; a passage must share a term with the query to be a hit
 */
export function rankPassages(
  passages: readonly Passage[],
  parameters: Partial<Bm25> = {},
): (query: string, k: number) => Hit[] {
  const bm25 = bm25Parameters(parameters);
  const { postings, lengths } = indexInMemory(passages, defaultAnalyzer);
  const average = lengths.reduce((sum, length) => sum + length, 0) / passages.length;
  const norms = Float64Array.from(lengths, (length) => lengthNorm(bm25, length, average));
  const scores = new Float64Array(passages.length); // all zero between queries
  return (query, k) => {
    checkK(k);
    const touched: number[] = [];
    for (const term of queryTerms(query, defaultAnalyzer)) {
      const list = postings.get(term);
      if (list === undefined) continue;
      const idf = inverseDocumentFrequency(passages.length, list.length / 2);
      for (let i = 0; i < list.length; i += 2) {
        const at = list[i]!;
        if (scores[at] === 0) touched.push(at);
        scores[at]! += termScore(idf, list[i + 1]!, norms[at]!);
      }
    }
    const best = new TopK(k);
    for (const at of touched) {
      best.offer(scores[at]!, at);
      scores[at] = 0;
    }
    return best.sorted().map(({ at, score }, i) => {
      const { id, title, text } = passages[at]!;
      return { id, title, text, score, rank: i + 1 };
    });
  };
}

/**
 * @returns for each term a flat list position, frequency, position, frequency …; and the length of each passage in
 * terms
 */
function indexInMemory(
  passages: readonly Passage[],
  analyzer: Analyzer,
): { postings: Map<string, number[]>; lengths: number[] } {
  const postings = new Map<string, number[]>();
  const lengths = passages.map((passage, at) => {
    const terms = analyzer.terms(searchable(passage));
    for (const term of terms) {
      const list = postings.get(term);
      if (list === undefined) postings.set(term, [at, 1]);
      else if (list[list.length - 2] === at) list[list.length - 1]! += 1;
      else list.push(at, 1);
    }
    return terms.length;
  });
  return { postings, lengths };
}
