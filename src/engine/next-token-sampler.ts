/** @file A sampler made of one function: the log-probabilities of the next token. It keeps the promises of every engine. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { EngineError } from "../base/errors.ts";
import { uniform } from "../base/random.ts";
import type { Sample, SampleRequest, Sampler } from "./engine.ts";
import { problemWith } from "./onnx/sampler/cached-sequence.ts";
import { pickToken, topLogprobs } from "./onnx/sampler/pick.ts";
import { StopMatcher } from "./onnx/sampler/stop-matcher.ts";

export interface NextTokenSamplerOptions {
  readonly vocabSize: number;
  readonly bytesOf: (id: number) => Uint8Array;
  readonly contextLength: number;
  readonly policyVersion: number;
  /**
   * Natural-log probabilities at temperature 1 of the token that follows `tokens`, [vocabSize].
   * @throws EngineError to end the sample, for example because the engine was closed
   */
  readonly next: (tokens: Int32Array) => Float32Array;
}

/** Draws depend on the key and the position alone, so a sample is the same whatever else is sampled. */
export function nextTokenSampler(options: NextTokenSamplerOptions): Sampler {
  const { contextLength, policyVersion } = options;
  return { policyVersion, contextLength, sample: (request, signal) => sample(options, request, signal) };
}

async function sample(
  { vocabSize, bytesOf, contextLength, policyVersion, next }: NextTokenSamplerOptions,
  request: SampleRequest,
  signal?: AbortSignal,
): Promise<Sample> {
  const problem = problemWith(request, { vocabSize, contextLength });
  if (problem !== undefined) throw new EngineError(problem);
  const { tokens, key, temperature, stop, topLogprobs: count = 0 } = request;
  const end = Math.min(tokens.length + request.maxTokens, contextLength);
  const tape = new Int32Array(end);
  tape.set(tokens);
  const stops = new StopMatcher(stop.text);
  const rows: Float32Array[] = [];
  let ended: Sample["ended"] = "length";
  for (let at = tokens.length; ended === "length" && at < end; at++) {
    if (rows.length % 16 === 0) await nextTurn(); // so that an abort is noticed
    signal?.throwIfAborted();
    const logprobs = next(tape.subarray(0, at));
    const { seed, step, question, sibling, turn } = key;
    const draw = uniform([seed, "sample", step, question, sibling, turn, at]);
    const id = pickToken(atTemperature(logprobs, temperature), request, draw);
    if (id < 0) throw new EngineError("the policy's distribution is not finite");
    tape[at] = id;
    rows.push(logprobs);
    if (stop.tokens.includes(id) || stops.push(bytesOf(id))) ended = "stop";
  }
  const written = tape.slice(tokens.length, tokens.length + rows.length);
  const logprobs = Float32Array.from(rows, (row, i) => row[written[i]!]!);
  const result: Sample = { tokens: written, logprobs, ended, policyVersion };
  return count === 0 ? result : { ...result, topLogprobs: rows.map((row) => topLogprobs(row, count)) };
}

/** Probabilities at a temperature; at 0 any increasing function of the log-probabilities will do. */
function atTemperature(logprobs: Float32Array, temperature: number): Float32Array {
  if (temperature === 0) return logprobs;
  const scaled = Float64Array.from(logprobs, (logprob) => logprob / temperature);
  return Float32Array.from(logSoftmax(scaled), Math.exp);
}

/** @param logits [vocabSize] @returns natural-log probabilities, [vocabSize] */
export function logSoftmax(logits: Float64Array): Float64Array {
  const largest = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0)) + largest;
  return logits.map((logit) => logit - total);
}
