/**
 * @file Continuous batching on one thread: sequences join and leave the batch at any step.
 *
 * A sequence gets the same bits in any batch. A token is fed either by "append" (a single sequence, in chunks that depend
 * on its own turns alone) or by "decode" with at least two rows, whose kernels treat all rows the same; "decode" always
 * feeds the last one and returns the distribution to sample from. A cache with one slot has one row, whose kernel is
 * half as fast again and gives other bits.
 */
import { EngineError } from "../../../base/errors.ts";
import { uniform } from "../../../base/random.ts";
import { createSession, type Session, type Tensor } from "../../../runtime/onnx.ts";
import type { SampleKey, SampleRequest } from "../../engine.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import type { LoraSettings } from "../../lora.ts";
import { decodeGraph, decodeNames } from "../models/decode-graph.ts";
import { rotaryTables } from "../positions.ts";
import {
  type ActiveRequest,
  type CachedSequence,
  type Done,
  MIN_ROWS,
  problemWith,
  tokenAt,
  type WrittenSample,
} from "./cached-sequence.ts";
import { KvCache } from "./kv-cache.ts";
import { pickToken, topLogprobs } from "./pick.ts";
import { SlotScheduler } from "./slot-scheduler.ts";
import { StopMatcher } from "./stop-matcher.ts";

export interface DecoderOptions {
  readonly config: ModelConfig;
  /** By pack. The learner may change them between requests and then calls `release`. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** The adapter whose matrices are among `weights`, if there is one. */
  readonly lora?: LoraSettings | undefined;
  readonly bytesOf: (id: number) => Uint8Array;
  readonly threads: number;
  /** Number of cache slots; further sequences wait. From two slots on, the number does not change any bits. */
  readonly maxSequences: number;
  readonly contextLength: number;
  /** Tokens of a prompt per run of the graph, independent of the batch, so that prompts with the same beginning share its cache. */
  readonly prefillChunk?: number;
}

/** Longer than the prompts of small policies, shorter than instructions with examples. */
const usualPrefillChunk = 128;

export class Decoder {
  readonly stats = { decodedTokens: 0, appendedTokens: 0, sharedTokens: 0, steps: 0 };
  readonly #options: DecoderOptions;
  readonly #prefillChunk: number;
  readonly #cache: KvCache;
  readonly #decode: Session;
  readonly #append: Session;
  /** Weights and rotary tables. */
  readonly #fixed: Readonly<Record<string, Tensor>>;
  readonly #waiting: { request: SampleRequest; done: Done }[] = [];
  readonly #scheduler: SlotScheduler;
  readonly #cancelled = new Set<SampleRequest>();
  /** Overwritten by every step. */
  readonly #logprobs: Float32Array;
  readonly #probabilities: Float32Array;

  private constructor(options: DecoderOptions, sessions: { decode: Session; append: Session }) {
    this.#options = options;
    this.#prefillChunk = options.prefillChunk ?? usualPrefillChunk;
    this.#decode = sessions.decode;
    this.#append = sessions.append;
    const { config, contextLength, maxSequences: slots } = options;
    this.#cache = new KvCache(config, { slots, maximum: contextLength });
    this.#scheduler = new SlotScheduler(this.#cache);
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

  /** Ends a submitted request, waiting or active, with an error before the next token. */
  cancel(request: SampleRequest): void {
    this.#cancelled.add(request);
  }

  /** Ends every request, waiting or active, because the kernels failed. */
  fail(error: Error): void {
    for (const [slot] of this.#scheduler.live()) this.#finish(slot, error);
    for (const { done } of this.#waiting.splice(0)) done(error);
  }

  /** No request will continue this sequence; its slot becomes free. */
  finished(key: SampleKey): void {
    this.#scheduler.finished(key);
  }

  /** Frees every slot without an active request, because the weights changed. */
  release(): void {
    this.#scheduler.release();
  }

  /** Admits waiting requests and feeds one token to every active sequence. @returns whether work is left */
  async step(): Promise<boolean> {
    this.#dropCancelled();
    await this.#admit();
    if (this.#scheduler.isAnyLive()) {
      this.#scheduler.compact();
      await this.#decodeStep();
    }
    return this.#waiting.length > 0 || this.#scheduler.isAnyLive();
  }

  /** Called between steps only, when no kernel uses a slot. */
  #dropCancelled(): void {
    if (this.#cancelled.size === 0) return;
    const reason = new EngineError("the request was aborted");
    for (const [slot, { live }] of this.#scheduler.live())
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
      const slot = this.#scheduler.slotFor(request, this.#waiting);
      if (slot === undefined) {
        at++; // a later request may continue a sequence that already has a slot
        continue;
      }
      this.#waiting.splice(at, 1);
      const sequence = this.#scheduler.at(slot)!;
      sequence.live = {
        request,
        done,
        stops: new StopMatcher(request.stop.text),
        tokens: [],
        logprobs: [],
        top: [],
        fed: sequence.cached.length,
      };
      try {
        await this.#appendPrompt(slot, sequence, sequence.live);
      } catch (error) {
        this.#finish(slot, error as Error);
      }
    }
  }

  /** Prefill: puts all but the last token into the cache. What another slot holds of the same beginning is copied. */
  async #appendPrompt(slot: number, sequence: CachedSequence, live: ActiveRequest): Promise<void> {
    const body = live.request.tokens.subarray(0, live.request.tokens.length - 1);
    const isFirst = sequence.cached.length === 0;
    if (isFirst) {
      sequence.promptLength = body.length;
      const shared = this.#scheduler.copyPrompt(slot, body, this.#prefillChunk);
      this.stats.sharedTokens += shared;
      sequence.cached = Array.from(body.subarray(0, shared));
    }
    const prefillChunk = isFirst ? this.#prefillChunk : body.length;
    // the rest, fewer than MIN_ROWS tokens, is fed by decode steps
    while (body.length - sequence.cached.length >= MIN_ROWS)
      await this.#appendChunk(slot, sequence, body.subarray(0, sequence.cached.length + prefillChunk));
    live.fed = sequence.cached.length;
  }

  /** Appends the tokens of `whole` that are not yet in the cache. */
  async #appendChunk(slot: number, sequence: CachedSequence, whole: Int32Array): Promise<void> {
    const tail = whole.subarray(sequence.cached.length);
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
    for (const id of tail) sequence.cached.push(id);
  }

  async #decodeStep(): Promise<void> {
    const rows = this.#scheduler.rows();
    const { vocabSize } = this.#options.config;
    const ids = new Int32Array(rows);
    const lengths = new Int32Array(rows);
    const inverseTemperature = new Float32Array(rows).fill(1);
    for (let row = 0; row < rows; row++) {
      const sequence = this.#scheduler.at(row);
      // an idle row writes behind its cached tokens, where the next real token will overwrite it
      lengths[row] = sequence ? sequence.cached.length : 0;
      if (!sequence?.live) continue;
      ids[row] = tokenAt(sequence.live, sequence.live.fed);
      const { temperature } = sequence.live.request;
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
      const sequence = this.#scheduler.at(row);
      if (!sequence?.live) continue;
      const range = [row * vocabSize, (row + 1) * vocabSize] as const;
      this.#advance(row, sequence, {
        logprobs: logprobs.subarray(...range),
        probabilities: probabilities.subarray(...range),
      });
    }
  }

  /** Called after one token of a sequence was fed: samples the next one if it was the last. */
  #advance(
    slot: number,
    sequence: CachedSequence,
    next: { readonly logprobs: Float32Array; readonly probabilities: Float32Array },
  ): void {
    const live = sequence.live!;
    const { request, tokens, logprobs } = live;
    const token = tokenAt(live, live.fed);
    live.fed++;
    sequence.cached.push(token);
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
    const sequence = this.#scheduler.at(slot)!;
    const { done } = sequence.live!;
    sequence.live = undefined;
    if (result instanceof Error) this.#scheduler.leave(slot);
    done(result);
  }
}
