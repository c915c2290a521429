/** An engine of your own that samples: a table of how likely each byte is after another. It keeps the promises of every engine. */
import { EngineError, pickToken, type SampleRequest, type Sampler, StopMatcher, uniform } from "r1-searcher/engine";
import { engineConformance } from "r1-searcher/testing";

const vocabSize = 256;
const bytesOf = (id: number) => Uint8Array.of(id);

const normalised = (scores: Float32Array) => {
  const sum = scores.reduce((total, score) => total + Math.exp(score), 0);
  return scores.map((score) => score - Math.log(sum));
};
/** Log-probabilities of the byte after each byte, [256][256]; an engine of a language model has a network here. */
const table = Array.from({ length: vocabSize }, (_, last) =>
  normalised(Float32Array.from({ length: vocabSize }, (_, next) => 4 * uniform(["table", last, next]))),
);

class TableSampler implements Sampler {
  readonly policyVersion = 0;
  readonly contextLength = 512;

  async sample(request: SampleRequest, signal?: AbortSignal) {
    signal?.throwIfAborted();
    this.#check(request);
    const { tokens, maxTokens, temperature, stop, key } = request;
    const stops = new StopMatcher(stop.text);
    const ids: number[] = [];
    const logprobs: number[] = []; // always at temperature 1 over the whole vocabulary, as the loss needs them
    let last = tokens.at(-1) ?? 0;
    let ended: "stop" | "length" = "length";
    while (ended === "length" && ids.length < Math.min(maxTokens, this.contextLength - tokens.length)) {
      const likely = table[last] ?? new Float32Array();
      const probabilities = likely.map((logprob) => Math.exp(logprob / (temperature || 1)));
      // The draw depends on the key and the place alone, so that a run can be repeated, whatever else is sampled.
      const { seed, step, question, sibling, turn } = key;
      const draw = uniform([seed, "table", step, question, sibling, turn, tokens.length + ids.length]);
      last = pickToken(probabilities, request, draw);
      ids.push(last);
      logprobs.push(likely[last] ?? 0);
      if (stop.tokens.includes(last) || stops.push(bytesOf(last))) ended = "stop";
    }
    const { policyVersion } = this;
    const sample = { tokens: Int32Array.from(ids), logprobs: Float32Array.from(logprobs), ended, policyVersion };
    return sample;
  }

  #check({ tokens, maxTokens, temperature }: SampleRequest): void {
    const isTape = tokens.length > 0 && tokens.length < this.contextLength;
    if (isTape && tokens.every((id) => id >= 0 && id < vocabSize) && maxTokens > 0 && temperature >= 0) return;
    throw new EngineError(`a request of ${tokens.length} tokens cannot be sampled`);
  }
}

const make = async () => ({ vocabSize, bytesOf, publish: async () => new TableSampler(), close: async () => {} });
// It does not learn, and a sample is made at once, so that there is no midway at which it could be aborted.
const checks = engineConformance("table", make, { without: ["learning", "abort midway"] });
for (const { name, run } of checks) await run().then(() => console.log(`kept: ${name}`));
