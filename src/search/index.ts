/**
 * @file `r1-searcher/search`: find passages. Build a BM25 index of a corpus on disk, extend it and open it; do the same
 * with vectors of your own encoder; fuse both; rerank; search a list in memory; or implement `Searcher` over your own
 * engine (`r1-searcher/testing` checks it).
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
export { appendToDenseIndex, type DenseAppendOptions } from "./dense/append.ts";
export { buildDenseIndex, type DenseBuildOptions } from "./dense/build.ts";
export type { Encoder, EncoderIdentity } from "./dense/encoder.ts";
export { type DenseOpenOptions, openDenseIndex } from "./dense/open.ts";
export { openVectorFile, type VectorFile } from "./dense/vector-files.ts";
export { type FusionOptions, fusedSearcher } from "./hybrid/fused.ts";
export { rerankedSearcher } from "./rerank/reranked.ts";
export type { Reranker } from "./rerank/reranker.ts";
export type { Hit, QueryResult, Searcher, SearcherInfo } from "./searcher.ts";
