/**
 * @file `r1-searcher/engine`: what samples and learns. The interfaces `Sampler` and `Learner` that an engine of your own
 * implements (`r1-searcher/testing` checks it), every loss in plain numbers, and the tokenizer of a Hugging Face folder.
 */
export { EngineError } from "../base/errors.ts";
export { type Random, type RandomKey, randomOf, uniform } from "../base/random.ts";
export type { Tokenizer } from "../base/tokenizer.ts";
export type * from "./engine.ts";
export { loadTokenizer } from "./huggingface/tokenizer.ts";
export { LoraConfig } from "./lora-config.ts";
export { klEstimate, sequenceLoss, type TokenTerms, termsAt, tokenLoss } from "./loss.ts";
export { logSoftmax, type NextTokenSamplerOptions, nextTokenSampler } from "./next-token-sampler.ts";
export { type AdamWState, adamWState, adamWStep, readAdamW, writeAdamW } from "./plain-adamw.ts";
export { plainCapabilities } from "./plain-capabilities.ts";
