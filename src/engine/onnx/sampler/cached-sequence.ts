/** @file A sequence in a KV cache slot, and the request that is being sampled for it. */
import type { Sample, SampleKey, SampleRequest, TopLogprobs } from "../../engine.ts";
import { onnxCapabilities } from "../capabilities.ts";
import type { StopMatcher } from "./stop-matcher.ts";

/** A single row uses another kernel than several rows, so there are always two, unless the cache has only one slot. */
export const MIN_ROWS = 2;

/** A sample without the policy version, which the engine adds. */
export type WrittenSample = Omit<Sample, "policyVersion">;

export type Done = (result: WrittenSample | Error) => void;

export interface ActiveRequest {
  readonly request: SampleRequest;
  readonly done: Done;
  readonly stops: StopMatcher;
  readonly tokens: number[];
  readonly logprobs: number[];
  /** Empty if none were requested. */
  readonly top: TopLogprobs[];
  /** Next position of `request.tokens` followed by `tokens` to feed. */
  fed: number;
}

/** The content of a slot: the tokens of a sequence so far, and the request that is being sampled, if any. */
export interface CachedSequence {
  readonly tape: string;
  /** Tokens whose keys and values are in the cache; grows by one with every step. */
  cached: number[];
  /** Tokens of its first request. Siblings share all of them, other questions perhaps the beginning. */
  promptLength: number;
  live: ActiveRequest | undefined;
}

export const tapeOf = ({ seed, step, question, sibling }: SampleKey) => `${seed}/${step}/${question}/${sibling}`;

export const tokenAt = ({ request, tokens }: ActiveRequest, position: number): number =>
  position < request.tokens.length ? request.tokens[position]! : tokens[position - request.tokens.length]!;

export function isPrefix(start: readonly number[], whole: Int32Array): boolean {
  return start.length < whole.length && start.every((id, i) => id === whole[i]);
}

/**
 * How many tokens of a new prompt another sequence's cache holds with the same bits: all if that sequence began with
 * exactly these, else those of the whole chunks that both have in common.
 * @param prefillChunk tokens of a prompt that one run of the graph appends
 */
export function sharedPrefixLength(sequence: CachedSequence, body: Int32Array, prefillChunk: number): number {
  const most = Math.min(sequence.promptLength, sequence.cached.length, body.length);
  let same = 0;
  while (same < most && sequence.cached[same] === body[same]) same++;
  if (same === body.length && same === sequence.promptLength) return same >= MIN_ROWS ? same : 0;
  return same - (same % prefillChunk);
}

/** Why a request cannot be sampled, or undefined. */
export function problemWith(
  { tokens, maxTokens, temperature, topLogprobs = 0 }: SampleRequest,
  { vocabSize, contextLength }: { readonly vocabSize: number; readonly contextLength: number },
): string | undefined {
  if (tokens.length === 0) return "a request to sample has no tokens";
  if (tokens.length >= contextLength)
    return `a tape of ${tokens.length} tokens leaves no room in a context of ${contextLength}`;
  if (!(maxTokens >= 1)) return `maxTokens is ${maxTokens}; at least 1 is needed`;
  if (!(temperature >= 0)) return `temperature is ${temperature}; 0 or more is needed`;
  const mostTop = Math.min(onnxCapabilities.topLogprobs, vocabSize);
  if (!Number.isInteger(topLogprobs) || topLogprobs < 0 || topLogprobs > mostTop)
    return `topLogprobs is ${topLogprobs}; from 0 to ${mostTop} are given`;
  const stray = tokens.find((id) => id < 0 || id >= vocabSize);
  return stray === undefined ? undefined : `token ${stray} is beyond the vocabulary of ${vocabSize}`;
}
