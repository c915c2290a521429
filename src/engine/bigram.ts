/**
 * @file The smallest engine that keeps every promise: the logits of the next token are a row of a table, chosen by the
 * last token. It is an example of an engine of your own, and lets tests train a real policy without ONNX Runtime.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { EngineError, messageOf } from "../base/errors.ts";
import { writeDurably } from "../base/files.ts";
import { randomOf, uniform } from "../base/random.ts";
import type {
  EngineCapabilities,
  Learner,
  LossReport,
  LossSpec,
  OptimReport,
  OptimSpec,
  Sample,
  SampleRequest,
  Sampler,
  TrainingSequence,
} from "./engine.ts";
import { termsAt, tokenLoss } from "./loss.ts";
import { pickToken, topLogprobs } from "./onnx/sampler/pick.ts";
import { problemWith } from "./onnx/sampler/seat.ts";
import { StopMatcher } from "./onnx/sampler/stop-matcher.ts";
import { readRemoteReference, writeRemoteReference } from "./remote-reference.ts";

export interface BigramOptions {
  readonly vocabSize: number;
  readonly bytesOf: (id: number) => Uint8Array;
  /** Of the first weights; default 0. */
  readonly seed?: number;
  /** Default 256. */
  readonly contextLength?: number;
  /** Plays a remote server: weights are kept here, and a saved folder holds only a reference to them. */
  readonly server?: Map<string, BigramState>;
}

/** Everything that learning changes, [V × V] each. */
export interface BigramState {
  readonly logits: readonly number[];
  /** Mean and mean square of the gradient, of AdamW. */
  readonly first: readonly number[];
  readonly second: readonly number[];
  readonly step: number;
}

const FILE = "bigram.json";

export const bigramCapabilities: EngineCapabilities = {
  losses: ["cross-entropy", "ppo"],
  klTerms: ["k2", "k3"],
  optimizers: ["adamw"],
  lossReduction: "sum",
  trains: ["weights"],
  reference: false,
  equalBits: true,
  refusesNonFinite: true,
  contextLength: Number.POSITIVE_INFINITY,
  concurrency: Number.POSITIVE_INFINITY,
  topLogprobs: 20,
};

/** No method waits before it has done its work, so calls take effect in the order in which they are made. */
export class BigramEngine implements Learner {
  readonly capabilities: EngineCapabilities;
  readonly #options: BigramOptions;
  readonly #contextLength: number;
  #logits: Float64Array;
  #first: Float64Array;
  #second: Float64Array;
  #gradient: Float64Array;
  #lossIsFinite = true;
  #step = 0;
  #version = 0;
  #isClosed = false;

  constructor(options: BigramOptions) {
    const { vocabSize, seed = 0, contextLength = 256 } = options;
    const random = randomOf("bigram", seed);
    this.#options = options;
    this.#contextLength = contextLength;
    this.capabilities = { ...bigramCapabilities, contextLength };
    this.#logits = Float64Array.from({ length: vocabSize ** 2 }, () => 0.5 * random.normal());
    this.#first = new Float64Array(vocabSize ** 2);
    this.#second = new Float64Array(vocabSize ** 2);
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
        const row = this.#row(this.#logits, tokens[t - 1]!);
        const scores = logSoftmax(row, 1);
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

  async optimStep({ kind, learningRate, beta1, beta2, epsilon, ...rest }: OptimSpec): Promise<OptimReport> {
    this.#demandOpen();
    if (kind !== "adamw") throw new EngineError(`optimizer.kind is ${kind}; this engine has adamw`);
    const gradNorm = Math.hypot(...this.#gradient);
    const applied = this.#lossIsFinite && Number.isFinite(gradNorm);
    if (applied) {
      this.#step++;
      const scale = rest.maxGradNorm > 0 && gradNorm > rest.maxGradNorm ? rest.maxGradNorm / gradNorm : 1;
      for (const [i, raw] of this.#gradient.entries()) {
        const value = raw * scale;
        this.#first[i] = beta1 * this.#first[i]! + (1 - beta1) * value;
        this.#second[i] = beta2 * this.#second[i]! + (1 - beta2) * value * value;
        const mean = this.#first[i]! / (1 - beta1 ** this.#step);
        const square = this.#second[i]! / (1 - beta2 ** this.#step);
        this.#logits[i]! -= learningRate * (mean / (Math.sqrt(square) + epsilon) + rest.weightDecay * this.#logits[i]!);
      }
    }
    this.#gradient.fill(0);
    this.#lossIsFinite = true;
    return { gradNorm, applied };
  }

  async logprobs(batch: readonly Int32Array[]): Promise<readonly Float32Array[]> {
    this.#demandOpen();
    return batch.map((tokens) =>
      Float32Array.from(tokens.subarray(1), (token, t) => logSoftmax(this.#row(this.#logits, tokens[t]!), 1)[token]!),
    );
  }

  async publish(): Promise<Sampler> {
    this.#demandOpen();
    const policyVersion = ++this.#version;
    const logits = this.#logits.slice();
    return {
      policyVersion,
      contextLength: this.#contextLength,
      sample: (request, signal) => this.#sample({ logits, policyVersion }, request, signal),
    };
  }

  async save(directory: string): Promise<void> {
    this.#demandOpen();
    const { server } = this.#options;
    const state = { logits: [...this.#logits], first: [...this.#first], second: [...this.#second], step: this.#step };
    if (server === undefined) return writeDurably(join(directory, FILE), JSON.stringify(state));
    const reference = `bigram-${server.size}-after-${this.#step}`;
    server.set(reference, state);
    writeRemoteReference(directory, { engine: "bigram", reference });
  }

  async load(directory: string): Promise<void> {
    this.#demandOpen();
    const { logits, first, second, step } = this.#stateAt(directory);
    this.#logits = Float64Array.from(logits);
    this.#first = Float64Array.from(first);
    this.#second = Float64Array.from(second);
    this.#step = step;
    this.#gradient.fill(0);
    this.#lossIsFinite = true;
  }

  async forget(reference: string): Promise<void> {
    this.#options.server?.delete(reference);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #stateAt(directory: string): BigramState {
    const { server } = this.#options;
    const remote = readRemoteReference(directory);
    if (remote !== undefined) {
      const state = server?.get(remote.reference);
      if (state === undefined) throw new EngineError(`${directory}: there is no policy ${remote.reference}`);
      return state;
    }
    try {
      return JSON.parse(readFileSync(join(directory, FILE), "utf8"));
    } catch (cause) {
      throw new EngineError(`${directory} holds no policy of this engine: ${messageOf(cause)}`, { cause });
    }
  }

  async #sample(
    { logits, policyVersion }: { readonly logits: Float64Array; readonly policyVersion: number },
    request: SampleRequest,
    signal?: AbortSignal,
  ): Promise<Sample> {
    const { vocabSize, bytesOf } = this.#options;
    const contextLength = this.#contextLength;
    const problem = problemWith(request, { vocabSize, contextLength });
    if (problem !== undefined) throw new EngineError(problem);
    const { key, temperature, stop, topLogprobs: count = 0 } = request;
    const stops = new StopMatcher(stop.text);
    const written: { id: number; scores: Float32Array }[] = [];
    const most = Math.min(request.maxTokens, contextLength - request.tokens.length);
    let ended: Sample["ended"] = "length";
    while (ended === "length" && written.length < most) {
      if (written.length % 16 === 0) await nextTurn();
      signal?.throwIfAborted();
      this.#demandOpen();
      const row = this.#row(logits, written.at(-1)?.id ?? request.tokens.at(-1)!);
      const scores = Float32Array.from(logSoftmax(row, 1));
      const chances = temperature === 0 ? scores : Float32Array.from(logSoftmax(row, temperature), Math.exp);
      const { seed, step, question, sibling, turn } = key;
      const place = request.tokens.length + written.length;
      const id = pickToken(chances, request, uniform([seed, "sample", step, question, sibling, turn, place]));
      if (id < 0) throw new EngineError("the policy's distribution is not finite");
      written.push({ id, scores });
      if (stop.tokens.includes(id) || stops.push(bytesOf(id))) ended = "stop";
    }
    const sample: Sample = {
      tokens: Int32Array.from(written, ({ id }) => id),
      logprobs: Float32Array.from(written, ({ id, scores }) => scores[id]!),
      ...{ ended, policyVersion },
    };
    return count === 0 ? sample : { ...sample, topLogprobs: written.map(({ scores }) => topLogprobs(scores, count)) };
  }

  #row(table: Float64Array, token: number): Float64Array {
    const { vocabSize } = this.#options;
    return table.subarray(token * vocabSize, (token + 1) * vocabSize);
  }

  #demandOpen(): void {
    if (this.#isClosed) throw new EngineError("the engine is closed");
  }
}

function logSoftmax(logits: Float64Array, temperature: number): Float64Array {
  const scaled = logits.map((logit) => logit / temperature);
  const largest = Math.max(...scaled);
  const total = Math.log(scaled.reduce((sum, logit) => sum + Math.exp(logit - largest), 0)) + largest;
  return scaled.map((logit) => logit - total);
}
