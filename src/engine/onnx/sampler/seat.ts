/** @file A tape's place in the sampler's cache, and what is being sampled on it. */
import type { Sample, SampleKey, SampleRequest, TopLogprobs } from "../../engine.ts";
import { onnxCapabilities } from "../capabilities.ts";
import type { StopMatcher } from "./stop-matcher.ts";

/** A single row takes another kernel than many, so there is always a second one, but where there is one seat alone. */
export const MIN_ROWS = 2;

/** A sample before it is known which version of the policy wrote it. */
export type WrittenSample = Omit<Sample, "policyVersion">;

export type Done = (result: WrittenSample | Error) => void;

export interface Live {
  readonly request: SampleRequest;
  readonly done: Done;
  readonly stops: StopMatcher;
  readonly tokens: number[];
  readonly logprobs: number[];
  /** Empty where none were asked for. */
  readonly top: TopLogprobs[];
  /** Next position of `request.tokens` followed by `tokens` to feed. */
  fed: number;
}

/** A tape's place in the cache: its tokens so far, and the request that is being sampled, if any. */
export interface Seat {
  readonly tape: string;
  /** Tokens whose keys and values are in the cache; grows by one with every step. */
  cached: number[];
  /** How many tokens it began with: the prompt, which siblings share, and of which other questions share the start. */
  opening: number;
  live: Live | undefined;
}

export const tapeOf = ({ seed, step, question, sibling }: SampleKey) => `${seed}/${step}/${question}/${sibling}`;

export const tokenAt = ({ request, tokens }: Live, position: number): number =>
  position < request.tokens.length ? request.tokens[position]! : tokens[position - request.tokens.length]!;

export function isPrefix(start: readonly number[], whole: Int32Array): boolean {
  return start.length < whole.length && start.every((id, i) => id === whole[i]);
}

/**
 * How many tokens of a first append lie in another seat's cache with the same bits: all where that seat began with
 * exactly these, else those of the stretches that both have in common.
 * @param stretch tokens that a first append feeds at a time
 */
export function commonOpening(seat: Seat, body: Int32Array, stretch: number): number {
  const most = Math.min(seat.opening, seat.cached.length, body.length);
  let same = 0;
  while (same < most && seat.cached[same] === body[same]) same++;
  if (same === body.length && same === seat.opening) return same >= MIN_ROWS ? same : 0;
  return same - (same % stretch);
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
