/**
 * @file The smallest engine that keeps every promise: the logits of the next token are a row of a table, chosen by the
 * last token. It is an example of an engine of your own, and lets tests train a real policy without ONNX Runtime.
 */
import { join } from "node:path";
import { EngineError } from "../base/errors.ts";
import { randomOf } from "../base/random.ts";
import type {
  EngineCapabilities,
  Learner,
  LossReport,
  LossSpec,
  OptimReport,
  OptimSpec,
  Sampler,
  TrainingSequence,
} from "./engine.ts";
import { termsAt, tokenLoss } from "./loss.ts";
import { logSoftmax, nextTokenSampler } from "./next-token-sampler.ts";
import { type AdamWState, adamWFrom, adamWState, adamWStep, adamWText, readAdamW, writeAdamW } from "./plain-adamw.ts";
import { plainCapabilities } from "./plain-capabilities.ts";
import { readRemoteReference, writeRemoteReference } from "./remote-reference.ts";

export interface BigramOptions {
  readonly vocabSize: number;
  readonly bytesOf: (id: number) => Uint8Array;
  /** Of the first weights; default 0. */
  readonly seed?: number;
  /** Default 256. */
  readonly contextLength?: number;
  /** Plays a remote server: weights are kept here, and a saved folder holds only a reference to them. */
  readonly server?: Map<string, string>;
}

const FILE = "bigram.json";

/** No method waits before it has done its work, so calls take effect in the order in which they are made. */
export class BigramEngine implements Learner {
  readonly capabilities: EngineCapabilities;
  readonly #options: BigramOptions;
  readonly #contextLength: number;
  #state: AdamWState;
  readonly #gradient: Float64Array;
  #lossIsFinite = true;
  #version = 0;
  #isClosed = false;

  constructor(options: BigramOptions) {
    const { vocabSize, seed = 0, contextLength = 256 } = options;
    const random = randomOf("bigram", seed);
    this.#options = options;
    this.#contextLength = contextLength;
    this.capabilities = { ...plainCapabilities, contextLength };
    this.#state = adamWState(Float64Array.from({ length: vocabSize ** 2 }, () => 0.5 * random.normal()));
    this.#gradient = new Float64Array(vocabSize ** 2);
  }

  async forwardBackward(batch: readonly TrainingSequence[], spec: LossSpec): Promise<LossReport> {
    this.#demandOpen();
    let loss = 0;
    const logprobs = batch.map((sequence) => {
      const { tokens, weights } = sequence;
      return Float32Array.from(tokens, (token, t) => {
        const weight = weights[t]!;
        if (weight === 0) return 0;
        const row = this.#row(this.#state.weights, tokens[t - 1]!);
        const scores = logSoftmax(row);
        const term = tokenLoss(spec, termsAt(sequence, t, scores[token]!));
        loss += weight * term.loss;
        const gradient = this.#row(this.#gradient, tokens[t - 1]!);
        for (const [id, score] of scores.entries())
          gradient[id]! += weight * term.slope * (Number(id === token) - Math.exp(score));
        return scores[token]!;
      });
    });
    if (!Number.isFinite(loss)) this.#lossIsFinite = false;
    return { loss, logprobs };
  }

  async optimStep(spec: OptimSpec): Promise<OptimReport> {
    this.#demandOpen();
    const gradient = this.#lossIsFinite ? this.#gradient : new Float64Array([Number.NaN]);
    const { state, report } = adamWStep(this.#state, gradient, spec);
    this.#state = state;
    this.#clearGradient();
    return report;
  }

  async logprobs(batch: readonly Int32Array[]): Promise<readonly Float32Array[]> {
    this.#demandOpen();
    return batch.map((tokens) =>
      Float32Array.from(
        tokens.subarray(1),
        (token, t) => logSoftmax(this.#row(this.#state.weights, tokens[t]!))[token]!,
      ),
    );
  }

  async publish(): Promise<Sampler> {
    this.#demandOpen();
    const { weights } = this.#state;
    const { vocabSize, bytesOf } = this.#options;
    return nextTokenSampler({
      ...{ vocabSize, bytesOf, contextLength: this.#contextLength, policyVersion: ++this.#version },
      next: (tokens) => {
        this.#demandOpen();
        return Float32Array.from(logSoftmax(this.#row(weights, tokens.at(-1)!)));
      },
    });
  }

  async save(directory: string): Promise<void> {
    this.#demandOpen();
    const { server } = this.#options;
    if (server === undefined) return writeAdamW(join(directory, FILE), this.#state);
    const reference = `bigram-${server.size}-after-${this.#state.step}`;
    server.set(reference, adamWText(this.#state));
    writeRemoteReference(directory, { engine: "bigram", reference });
  }

  async load(directory: string): Promise<void> {
    this.#demandOpen();
    this.#state = this.#stateAt(directory);
    this.#clearGradient();
  }

  async forget(reference: string): Promise<void> {
    this.#options.server?.delete(reference);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #stateAt(directory: string): AdamWState {
    const remote = readRemoteReference(directory);
    if (remote === undefined) return readAdamW(join(directory, FILE));
    const text = this.#options.server?.get(remote.reference);
    if (text === undefined) throw new EngineError(`${directory}: there is no policy ${remote.reference}`);
    return adamWFrom(text);
  }

  #row(table: Float64Array, token: number): Float64Array {
    const { vocabSize } = this.#options;
    return table.subarray(token * vocabSize, (token + 1) * vocabSize);
  }

  #clearGradient(): void {
    this.#gradient.fill(0);
    this.#lossIsFinite = true;
  }

  #demandOpen(): void {
    if (this.#isClosed) throw new EngineError("the engine is closed");
  }
}
