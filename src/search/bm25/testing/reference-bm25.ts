import type { Passage } from "../../../protocol/passage.ts";
import { analyze } from "../../analyzer.ts";

/**
 * BM25 by its formula: every passage is scored for every query, terms summed in code unit order. It shares only the
 * analyzer.
 */
export function referenceBm25(passages: readonly Passage[], k1 = 0.9, b = 0.4) {
  const counts = passages.map(({ title, text }) => {
    const frequencies = new Map<string, number>();
    for (const term of analyze(`${title} ${text}`)) frequencies.set(term, (frequencies.get(term) ?? 0) + 1);
    return frequencies;
  });
  const lengths = counts.map((frequencies) => [...frequencies.values()].reduce((sum, count) => sum + count, 0));
  const average = lengths.reduce((sum, length) => sum + length, 0) / passages.length;
  const holders = new Map<string, number>();
  for (const frequencies of counts)
    for (const term of frequencies.keys()) holders.set(term, (holders.get(term) ?? 0) + 1);
  return (query: string, k: number): { id: string; score: number }[] => {
    const terms = [...new Set(analyze(query))].sort();
    return passages
      .map(({ id }, at) => {
        let score = 0;
        for (const term of terms) {
          const frequency = counts[at]!.get(term);
          if (frequency === undefined) continue;
          const df = holders.get(term)!;
          const idf = Math.log(1 + (passages.length - df + 0.5) / (df + 0.5));
          score += (idf * frequency) / (frequency + k1 * (1 - b + (b * lengths[at]!) / average));
        }
        return { id, score, at };
      })
      .filter(({ score }) => score > 0)
      .sort((x, y) => y.score - x.score || x.at - y.at)
      .slice(0, k)
      .map(({ id, score }) => ({ id, score }));
  };
}
