/**
 * @file `r1-searcher/testing`: check an engine, a searcher or an environment of your own, and try code without a model. The conformance
 * suites are lists of named checks for any test runner; the scripted sampler and the byte tokenizer need no file.
 */

export { type Script, type ScriptedOptions, ScriptedSampler, scriptedLogprobs } from "./engine/scripted.ts";
export {
  type ConformanceCheck,
  type EngineConformanceOptions,
  type EnginePromise,
  type EngineUnderTest,
  engineConformance,
} from "./engine/testing/conformance.ts";
export { type ByteTokenizerOptions, byteTokenizer } from "./protocol/byte-tokenizer.ts";
export { type EnvironmentConformanceOptions, environmentConformance } from "./rollout/environment-conformance.ts";
export { type SearcherConformanceOptions, searcherConformance } from "./search/conformance.ts";
