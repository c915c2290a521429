/** An engine of your own: one row of logits for each last token. It samples and learns, and keeps every promise of an engine. */
import * as engine from "r1-searcher/engine";
import { engineConformance } from "r1-searcher/testing";

const [vocabSize, contextLength] = [24, 256];
const bytesOf = (id: number) => Uint8Array.of(97 + id);
const random = engine.randomOf("table");

class TableEngine implements engine.Learner {
  readonly capabilities = { ...engine.plainCapabilities, contextLength };
  #state = engine.adamWState(Float64Array.from({ length: vocabSize ** 2 }, () => random.normal()));
  #gradient = new Float64Array(vocabSize ** 2);
  #loss = 0;
  #version = 0;
  #isOpen = true;

  #scores(last = 0, weights = this.#state.weights): Float64Array {
    if (!this.#isOpen) throw new engine.EngineError("the engine is closed");
    return engine.logSoftmax(weights.subarray(last * vocabSize, (last + 1) * vocabSize));
  }
  async forwardBackward(batch: readonly engine.TrainingSequence[], spec: engine.LossSpec) {
    const before = this.#loss;
    const score = (sequence: engine.TrainingSequence, token: number, t: number) => {
      const [weight = 0, last = 0] = [sequence.weights[t], sequence.tokens[t - 1]];
      if (weight === 0) return 0;
      const scores = this.#scores(last);
      const term = engine.tokenLoss(spec, engine.termsAt(sequence, t, scores[token] ?? 0));
      this.#loss += weight * term.loss;
      for (const [id, logprob] of scores.entries())
        this.#gradient[last * vocabSize + id]! += weight * term.slope * (Number(id === token) - Math.exp(logprob));
      return scores[token] ?? 0;
    };
    const logprobs = batch.map((one) => Float32Array.from(one.tokens, (token, t) => score(one, token, t)));
    return { loss: this.#loss - before, logprobs };
  }
  #begin(state: engine.AdamWState) {
    [this.#state, this.#gradient, this.#loss] = [state, new Float64Array(vocabSize ** 2), 0];
  }
  async optimStep(spec: engine.OptimSpec) {
    const gradient = Number.isFinite(this.#loss) ? this.#gradient : Float64Array.of(Number.NaN);
    const { state, report } = engine.adamWStep(this.#state, gradient, spec);
    this.#begin(state);
    return report;
  }
  logprobs = async (batch: readonly Int32Array[]) =>
    batch.map((tokens) => Float32Array.from(tokens.subarray(1), (token, t) => this.#scores(tokens[t])[token] ?? 0));
  async publish() {
    const { weights } = this.#state; // a sampler goes on with the weights that it was published with
    const next = (tokens: Int32Array) => Float32Array.from(this.#scores(tokens.at(-1), weights));
    return engine.nextTokenSampler({ vocabSize, bytesOf, contextLength, policyVersion: ++this.#version, next });
  }
  save = async (directory: string) => engine.writeAdamW(`${directory}/table.json`, this.#state);
  load = async (directory: string) => this.#begin(engine.readAdamW(`${directory}/table.json`));
  close = async () => void (this.#isOpen = false);
}
const make = async () => {
  const learner = new TableEngine();
  return { vocabSize, bytesOf, learner, publish: () => learner.publish(), close: learner.close };
};
for (const { name, run } of engineConformance("table", make)) await run().then(() => console.log(`kept: ${name}`));
