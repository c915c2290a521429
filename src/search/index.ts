/**
 * @file `r1-searcher/search`: find passages. Build a BM25 index of a corpus on disk, add to it and open it, search a list in
 * memory, or implement `Searcher` over an engine of your own (`r1-searcher/testing` checks it).
 */
export { SearchError } from "../base/errors.ts";
export type { Passage } from "../protocol/passage.ts";
export { type AnalyzerName, analyze } from "./analyzer.ts";
export { type BuildOptions, type BuildProgress, type BuildReport, buildIndex } from "./bm25/build.ts";
export { appendToIndex, type GrowOptions, type GrowReport, mergeIndex } from "./bm25/grow.ts";
export { type OpenOptions, openIndex } from "./bm25/open.ts";
export type { Bm25 } from "./bm25/score.ts";
export { memorySearcher } from "./bm25/searcher.ts";
export { type ReadOptions, readCorpus } from "./corpus.ts";
export type { Hit, QueryResult, Searcher, SearcherInfo } from "./searcher.ts";
