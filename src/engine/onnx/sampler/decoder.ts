/**
 * @file Samples many sequences at once on one thread. Whatever waits is batched; sequences join and leave at any step.
 *
 * A sequence gets the same bits in any company: a token is fed either by "append" (one sequence alone, boundaries
 * given by its own turns) or by "decode" with at least two rows, whose kernels treat rows alike. Its last token is
 * always fed by "decode", which gives the distribution to sample from. Where there is one seat alone, a row has no
 * company, and the kernel for one row is half as fast again; it gives other bits.
 */
import { EngineError } from "../../../base/errors.ts";
import { uniform } from "../../../base/random.ts";
import { createSession, type Session, type Tensor } from "../../../runtime/onnx.ts";
import type { SampleKey, SampleRequest } from "../../engine.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import type { LoraConfig } from "../../lora.ts";
import { decodeGraph, decodeNames } from "../models/decode-graph.ts";
import { rotaryTables } from "../positions.ts";
import { KvCache } from "./kv-cache.ts";
import { pickToken, topLogprobs } from "./pick.ts";
import { type Done, type Live, MIN_ROWS, problemWith, type Seat, tokenAt, type WrittenSample } from "./seat.ts";
import { Seating } from "./seating.ts";
import { StopMatcher } from "./stop-matcher.ts";

export interface DecoderOptions {
  readonly config: ModelConfig;
  /** By pack; the learner may change them between requests, followed by `release`. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Of the adapter whose numbers are among `weights`, if one is. */
  readonly lora?: LoraConfig | undefined;
  readonly bytesOf: (id: number) => Uint8Array;
  readonly threads: number;
  /** Tapes that are open at once; more wait. From two on, the number changes no bits. */
  readonly maxSequences: number;
  readonly contextLength: number;
  /** Tokens of a prompt that are fed at a time, whoever else is there, so that prompts which begin alike share them. */
  readonly stretch?: number;
}

/** Longer than what small policies are asked, shorter than instructions with examples. */
const usualStretch = 128;

export class Decoder {
  readonly stats = { decodedTokens: 0, appendedTokens: 0, sharedTokens: 0, steps: 0 };
  readonly #options: DecoderOptions;
  readonly #stretch: number;
  readonly #cache: KvCache;
  readonly #decode: Session;
  readonly #append: Session;
  /** Weights and rotary tables. */
  readonly #fixed: Readonly<Record<string, Tensor>>;
  readonly #waiting: { request: SampleRequest; done: Done }[] = [];
  readonly #seating: Seating;
  readonly #cancelled = new Set<SampleRequest>();
  /** Written anew by every step. */
  readonly #logprobs: Float32Array;
  readonly #probabilities: Float32Array;

  private constructor(options: DecoderOptions, sessions: { decode: Session; append: Session }) {
    this.#options = options;
    this.#stretch = options.stretch ?? usualStretch;
    this.#decode = sessions.decode;
    this.#append = sessions.append;
    const { config, contextLength, maxSequences } = options;
    const slots = maxSequences;
    this.#cache = new KvCache(config, { slots, maximum: contextLength });
    this.#seating = new Seating(this.#cache);
    this.#logprobs = new Float32Array(slots * config.vocabSize);
    this.#probabilities = new Float32Array(slots * config.vocabSize);
    const { cos, sin } = rotaryTables(config, contextLength);
    const shape = [contextLength, config.headDim / 2];
    this.#fixed = {
      ...Object.fromEntries(options.weights),
      [decodeNames.cos]: { data: cos, shape },
      [decodeNames.sin]: { data: sin, shape },
    };
  }

  static async create(options: DecoderOptions): Promise<Decoder> {
    const { config, threads, lora } = options;
    if (config.headDim % 8 !== 0) {
      throw new EngineError(`head_dim ${config.headDim} is not a multiple of 8, which sampling with a cache needs`, {
        hint: "such a model can be scored (`model logprobs`), not sampled",
      });
    }
    const [decode, append] = await Promise.all([
      createSession(decodeGraph(config, "decode", lora), { threads }),
      createSession(decodeGraph(config, "append", lora), { threads }),
    ]);
    return new Decoder(options, { decode, append });
  }

  submit(request: SampleRequest, done: Done): void {
    const { config, contextLength } = this.#options;
    const problem = problemWith(request, { vocabSize: config.vocabSize, contextLength });
    if (problem) done(new EngineError(problem));
    else this.#waiting.push({ request, done });
  }

  /** Ends a submitted request, waiting or live, with an error before the next token. */
  cancel(request: SampleRequest): void {
    this.#cancelled.add(request);
  }

  /** Ends every request, waiting or live: the kernels failed, and with them every sequence. */
  fail(error: Error): void {
    for (const [slot] of this.#seating.live()) this.#finish(slot, error);
    for (const { done } of this.#waiting.splice(0)) done(error);
  }

  /** The tape will not be continued. */
  finished(key: SampleKey): void {
    this.#seating.finished(key);
  }

  /** Forgets every tape that is not being sampled: the weights changed. */
  release(): void {
    this.#seating.release();
  }

  /** Admits what waits and feeds one token to every live sequence. @returns whether anything is left to do */
  async step(): Promise<boolean> {
    this.#dropCancelled();
    await this.#admit();
    if (this.#seating.isAnyLive()) {
      this.#seating.compact();
      await this.#decodeStep();
    }
    return this.#waiting.length > 0 || this.#seating.isAnyLive();
  }

  /** Only between steps, where no kernel is running on a seat. */
  #dropCancelled(): void {
    if (this.#cancelled.size === 0) return;
    const reason = new EngineError("the request was aborted");
    for (const [slot, { live }] of this.#seating.live())
      if (this.#cancelled.has(live!.request)) this.#finish(slot, reason);
    for (const waiting of this.#waiting.splice(0)) {
      if (this.#cancelled.has(waiting.request)) waiting.done(reason);
      else this.#waiting.push(waiting);
    }
    this.#cancelled.clear();
  }

  async #admit(): Promise<void> {
    for (let at = 0; at < this.#waiting.length; ) {
      const { request, done } = this.#waiting[at]!;
      const slot = this.#seating.slotFor(request, this.#waiting);
      if (slot === undefined) {
        at++; // a later request may continue a tape that has its seat already
        continue;
      }
      this.#waiting.splice(at, 1);
      const seat = this.#seating.at(slot)!;
      seat.live = {
        request,
        done,
        stops: new StopMatcher(request.stop.text),
        tokens: [],
        logprobs: [],
        top: [],
        fed: seat.cached.length,
      };
      try {
        await this.#appendPrompt(slot, seat, seat.live);
      } catch (error) {
        this.#finish(slot, error as Error);
      }
    }
  }

  /** Puts all but the last token into the cache; what another tape that began alike has there is copied. */
  async #appendPrompt(slot: number, seat: Seat, live: Live): Promise<void> {
    const body = live.request.tokens.subarray(0, live.request.tokens.length - 1);
    const isFirst = seat.cached.length === 0;
    if (isFirst) {
      seat.opening = body.length;
      const shared = this.#seating.copyPrompt(slot, body, this.#stretch);
      this.stats.sharedTokens += shared;
      seat.cached = Array.from(body.subarray(0, shared));
    }
    const stretch = isFirst ? this.#stretch : body.length;
    // what is left, being less, is fed one by one
    while (body.length - seat.cached.length >= MIN_ROWS)
      await this.#appendStretch(slot, seat, body.subarray(0, seat.cached.length + stretch));
    live.fed = seat.cached.length;
  }

  /** Feeds what a seat's cache lacks of `whole`. */
  async #appendStretch(slot: number, seat: Seat, whole: Int32Array): Promise<void> {
    const tail = whole.subarray(seat.cached.length);
    const { inputs, outputs } = this.#cache.tensors(slot, 1);
    await this.#append.run(
      {
        ...this.#fixed,
        ...inputs,
        [decodeNames.ids]: { data: tail.slice(), shape: [1, tail.length] },
        [decodeNames.lengths]: { data: Int32Array.of(whole.length - 1), shape: [1] },
        [decodeNames.longest]: { data: Int32Array.of(whole.length), shape: [1] },
      },
      outputs,
    );
    this.stats.appendedTokens += tail.length;
    for (const id of tail) seat.cached.push(id);
  }

  async #decodeStep(): Promise<void> {
    const rows = this.#seating.rows();
    const { vocabSize } = this.#options.config;
    const ids = new Int32Array(rows);
    const lengths = new Int32Array(rows);
    const inverseTemperature = new Float32Array(rows).fill(1);
    for (let row = 0; row < rows; row++) {
      const seat = this.#seating.at(row);
      // an idle row writes behind what its tape has cached, where the next real token will be written over it
      lengths[row] = seat ? seat.cached.length : 0;
      if (!seat?.live) continue;
      ids[row] = tokenAt(seat.live, seat.live.fed);
      const { temperature } = seat.live.request;
      if (temperature > 0) inverseTemperature[row] = 1 / temperature;
    }
    const logprobs = this.#logprobs.subarray(0, rows * vocabSize);
    const probabilities = this.#probabilities.subarray(0, rows * vocabSize);
    const { inputs, outputs } = this.#cache.tensors(0, rows);
    await this.#decode.run(
      {
        ...this.#fixed,
        ...inputs,
        [decodeNames.ids]: { data: ids, shape: [rows, 1] },
        [decodeNames.lengths]: { data: lengths, shape: [rows] },
        [decodeNames.longest]: { data: Int32Array.of(Math.max(...lengths) + 1), shape: [1] },
        [decodeNames.inverseTemperature]: { data: inverseTemperature, shape: [rows, 1] },
      },
      {
        ...outputs,
        [decodeNames.logprobs]: { data: logprobs, shape: [rows, vocabSize] },
        [decodeNames.probabilities]: { data: probabilities, shape: [rows, vocabSize] },
      },
    );
    this.stats.steps++;
    for (let row = 0; row < rows; row++) {
      const seat = this.#seating.at(row);
      if (!seat?.live) continue;
      const range = [row * vocabSize, (row + 1) * vocabSize] as const;
      this.#advance(row, seat, {
        logprobs: logprobs.subarray(...range),
        probabilities: probabilities.subarray(...range),
      });
    }
  }

  /** One token of a sequence was fed: sample the next if it was the last of the tape. */
  #advance(
    slot: number,
    seat: Seat,
    next: { readonly logprobs: Float32Array; readonly probabilities: Float32Array },
  ): void {
    const live = seat.live!;
    const { request, tokens, logprobs } = live;
    const token = tokenAt(live, live.fed);
    live.fed++;
    seat.cached.push(token);
    const position = request.tokens.length + tokens.length;
    if (live.fed < position) return;
    const { seed, step, question, sibling, turn } = request.key;
    const draw = request.temperature === 0 ? 0 : uniform([seed, "sample", step, question, sibling, turn, position]);
    const picked = pickToken(request.temperature === 0 ? next.logprobs : next.probabilities, request, draw);
    if (picked < 0 || !Number.isFinite(next.logprobs[picked]!)) {
      this.#finish(slot, new EngineError(`the policy's distribution at position ${position} is not finite`));
      return;
    }
    tokens.push(picked);
    logprobs.push(next.logprobs[picked]!);
    if (request.topLogprobs) live.top.push(topLogprobs(next.logprobs, request.topLogprobs));
    this.stats.decodedTokens++;
    const stopped = request.stop.tokens.includes(picked) || live.stops.push(this.#options.bytesOf(picked));
    const isFull = position + 1 >= this.#options.contextLength;
    if (stopped || tokens.length >= request.maxTokens || isFull) {
      this.#finish(slot, {
        tokens: Int32Array.from(tokens),
        logprobs: Float32Array.from(logprobs),
        ended: stopped ? "stop" : "length",
        ...(request.topLogprobs ? { topLogprobs: live.top } : {}),
      });
    }
  }

  #finish(slot: number, result: WrittenSample | Error): void {
    const seat = this.#seating.at(slot)!;
    const { done } = seat.live!;
    seat.live = undefined;
    if (result instanceof Error) this.#seating.leave(slot);
    done(result);
  }
}
