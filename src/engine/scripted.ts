/** @file A policy that says what a script says: for tests and examples. It keeps the promises of a real sampler. */

import { EngineError } from "../base/errors.ts";
import { uniform } from "../base/random.ts";
import type { Sample, SampleRequest, Sampler, TopLogprobs } from "./engine.ts";

/** What the policy would say next, as token ids; undefined where the script has nothing left to say. */
export type Script = (request: SampleRequest) => readonly number[] | undefined;

export interface ScriptedOptions {
  /** One script for all requests, or replies by turn. */
  readonly replies: Script | readonly (readonly number[])[];
  /** Needed to obey stop texts. */
  readonly bytesOf: (id: number) => Uint8Array;
  readonly contextLength?: number;
  readonly policyVersion?: number;
  /** Samples so many tokens of the reply beyond a stop text, as engines that look late do. */
  readonly overshoot?: number;
}

/**
 * Obeys stops, budgets and the abort signal. A reply that runs out says the first stop token, where one is given.
 * Log-probabilities are keyed by the place on the tape, so that a wrong alignment shows.
 */
export class ScriptedSampler implements Sampler {
  readonly policyVersion: number;
  readonly contextLength: number;
  readonly #options: ScriptedOptions;

  constructor(options: ScriptedOptions) {
    this.#options = options;
    this.policyVersion = options.policyVersion ?? 0;
    this.contextLength = options.contextLength ?? 4096;
  }

  async sample(request: SampleRequest, signal?: AbortSignal): Promise<Sample> {
    signal?.throwIfAborted();
    const { replies } = this.#options;
    const reply = typeof replies === "function" ? replies(request) : replies[request.key.turn];
    const [end] = request.stop.tokens;
    const said = end === undefined ? [...(reply ?? [])] : [...(reply ?? []), end];
    if (said.length === 0) throw new EngineError(`the script has nothing to say in turn ${request.key.turn}`);
    const stop = this.#stopIn(said, request);
    const length = Math.min(stop ?? said.length, request.maxTokens);
    const ended = length < said.length && length !== stop ? "length" : "stop";
    const tokens = Int32Array.from(said.slice(0, length));
    const logprobs = scriptedLogprobs(request, length);
    const { policyVersion } = this;
    const { topLogprobs: count = 0 } = request;
    const sample: Sample = { tokens, logprobs, ended, policyVersion };
    return count === 0
      ? sample
      : { ...sample, topLogprobs: Array.from(tokens, (id, i) => scriptedTop(id, logprobs[i]!, count)) };
  }

  /** Tokens up to the first stop, that included. */
  #stopIn(said: readonly number[], { stop, maxTokens }: SampleRequest): number | undefined {
    const decoder = new TextDecoder();
    const longest = Math.max(0, ...stop.text.map(({ length }) => length));
    let tail = "";
    for (const [index, id] of said.slice(0, maxTokens).entries()) {
      if (stop.tokens.includes(id)) return index + 1;
      const fresh = decoder.decode(this.#options.bytesOf(id), { stream: true });
      tail = tail.slice(-longest) + fresh;
      if (stop.text.some((text) => tail.includes(text)))
        return Math.min(said.length, maxTokens, index + 1 + (this.#options.overshoot ?? 0));
    }
    return undefined;
  }
}

/** What was said, and made-up others that share what it leaves of the probability, each half of what is left. */
function scriptedTop(said: number, logprob: number, count: number): TopLogprobs {
  const others = Array.from({ length: count }, (_, id) => id).filter((id) => id !== said);
  const ids = [said, ...others].slice(0, count);
  const left = Math.log(-Math.expm1(logprob));
  return {
    ids: Int32Array.from(ids),
    logprobs: Float32Array.from(ids, (_, i) => (i === 0 ? logprob : Math.min(left, logprob + Math.LN2) - i * Math.LN2)),
  };
}

/** What the scripted sampler gives for `length` tokens after the tape of a request. */
export function scriptedLogprobs({ key, tokens }: Pick<SampleRequest, "key" | "tokens">, length: number): Float32Array {
  const { seed, step, question, sibling } = key;
  return Float32Array.from(
    { length },
    (_, i) => -1e-6 - uniform([seed, "scripted", step, question, sibling, tokens.length + i]),
  );
}
