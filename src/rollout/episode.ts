/** @file One attempt at one question: sample, search, read, again, until it stops. Sampled ids are never re-encoded. */
import { EngineError, messageOf, SearchError } from "../base/errors.ts";
import type { Tokenizer } from "../base/tokenizer.ts";
import type { Sample, SampleKey, Sampler } from "../engine/engine.ts";
import { documentBlock, encodeSegments } from "../protocol/documents.ts";
import { type ParserEvent, policyBytes, TranscriptParser } from "../protocol/parse.ts";
import { type Protocol, stopTexts } from "../protocol/protocol.ts";
import type { Question } from "../protocol/question.ts";
import { type Author, TapeBuilder } from "../protocol/tape.ts";
import type { Hit, Searcher } from "../search/searcher.ts";
import type { RolloutConfig } from "./config.ts";
import type { SearchRecord, Stop, Trajectory } from "./trajectory.ts";

/** What an attempt is made with. */
export interface RolloutParts {
  readonly sampler: Sampler;
  readonly searcher: Searcher;
  readonly tokenizer: Tokenizer;
  readonly protocol: Protocol;
  readonly config: RolloutConfig;
}

export interface EpisodeOptions extends RolloutParts {
  readonly question: Question;
  readonly sibling: number;
  /** Ends in an open thought. */
  readonly prompt: Int32Array;
  /** What its draws depend on, besides sibling, turn and position. */
  readonly key: Pick<SampleKey, "seed" | "step" | "question">;
  readonly signal?: AbortSignal;
  /** The tape as it grows. */
  readonly onAppend?: (author: Author, tokens: Int32Array) => void;
  /** Sample at most this many tokens at a time, so that `onAppend` follows the policy's writing; the tape is the same. */
  readonly chunk?: number;
}

/** Documents that would leave less room than this for an answer do not fit. */
const roomToAnswer = 16;

/** @throws EngineError where the engine fails, the signal's reason where it is raised */
export async function runEpisode(options: EpisodeOptions): Promise<Trajectory> {
  const episode = new Episode(options);
  try {
    return await episode.run();
  } catch (cause) {
    options.signal?.throwIfAborted(); // an abort is an abort, however the engine reports it
    throw cause;
  } finally {
    options.sampler.finished?.({ ...options.key, sibling: options.sibling, turn: 0 });
  }
}

/** Drops quotes and control characters, which a query has no use for. */
export function cleanQuery(query: string): string {
  return query
    .toWellFormed()
    .replace(/"/g, "")
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
}

class Episode {
  readonly #options: EpisodeOptions;
  readonly #tape = new TapeBuilder();
  readonly #parser: TranscriptParser;
  readonly #bytesOf: (id: number) => Uint8Array;
  readonly #logprobs: number[] = [];
  readonly #searches: SearchRecord[] = [];
  readonly #contextLength: number;
  /** By turn. */
  readonly #versions = new Map<number, number>();
  #written = 0;
  #writtenThisTurn = 0;

  constructor(options: EpisodeOptions) {
    this.#options = options;
    const { config, sampler, protocol, tokenizer } = options;
    this.#parser = new TranscriptParser(protocol);
    this.#bytesOf = policyBytes(tokenizer);
    this.#contextLength = Math.min(sampler.contextLength, config.contextLength || sampler.contextLength);
  }

  async run(): Promise<Trajectory> {
    const { question, sibling, sampler, prompt } = this.#options;
    this.#append("prompt", prompt, new Float32Array(prompt.length));
    const stop = await this.#untilStop();
    return {
      question,
      sibling,
      tape: this.#tape.tape(),
      transcript: this.#parser.finish(),
      logprobs: Float32Array.from(this.#logprobs),
      searches: this.#searches,
      stop,
      policyVersion: Math.min(...this.#versions.values(), sampler.policyVersion),
      policyVersions: [...this.#versions.values()],
    };
  }

  async #untilStop(): Promise<Stop> {
    const { signal, config, chunk = Number.POSITIVE_INFINITY } = this.#options;
    for (let turn = 0; ; ) {
      signal?.throwIfAborted();
      const left = Math.min(config.maxTokens - this.#written, config.maxTokensPerTurn - this.#writtenThisTurn);
      if (left <= 0) return "token-budget";
      const room = this.#contextLength - this.#tape.length;
      if (room <= 0) return "context-full";
      const sample = await this.#sample(turn, Math.min(left, room, chunk));
      this.#versions.set(turn, Math.min(sample.policyVersion, this.#versions.get(turn) ?? sample.policyVersion));
      const taken = this.#take(sample);
      if (taken || sample.ended === "stop") turn++;
      if (taken === "ended") return "ended";
      if (taken === undefined) continue; // a stop that the grammar does not see, a chunk, or a budget: the loop knows
      if (taken.kind === "answer") return "answered";
      const stop = await this.#search(taken.text);
      if (stop) return stop;
    }
  }

  async #sample(turn: number, maxTokens: number): Promise<Sample> {
    const { sampler, protocol, tokenizer, config, key, sibling, signal } = this.#options;
    const { temperature, topP, topK } = config;
    const request = {
      tokens: this.#tape.tokens,
      maxTokens,
      temperature,
      topP,
      topK,
      stop: { tokens: tokenizer.eosIds, text: stopTexts(protocol) },
      key: { ...key, sibling, turn },
    };
    const sample = await sampler.sample(request, signal);
    const { length } = sample.tokens;
    if (length === 0 || length > maxTokens || sample.logprobs.length !== length) {
      throw new EngineError(
        `the sampler gave ${length} tokens and ${sample.logprobs.length} log-probabilities where 1 to ${maxTokens} were asked for`,
      );
    }
    return sample;
  }

  /** Puts a sample on the tape up to the token that ends the turn; what the engine sampled beyond it is dropped. */
  #take({ tokens, logprobs }: Sample): ParserEvent | "ended" | undefined {
    const { eosIds } = this.#options.tokenizer;
    const start = this.#tape.length;
    let outcome: ParserEvent | "ended" | undefined;
    let count = 0;
    while (count < tokens.length && !outcome) {
      const id = tokens[count]!;
      outcome =
        this.#parser.policyToken(start + count, this.#bytesOf(id)) ?? (eosIds.includes(id) ? "ended" : undefined);
      count++;
    }
    this.#append("policy", tokens.subarray(0, count), logprobs.subarray(0, count));
    this.#written += count;
    this.#writtenThisTurn += count;
    return outcome;
  }

  #append(author: Author, tokens: Int32Array, logprobs: Float32Array): void {
    this.#tape.append(author, tokens);
    for (const logprob of logprobs) this.#logprobs.push(logprob);
    this.#options.onAppend?.(author, tokens);
  }

  async #search(raw: string): Promise<Stop | undefined> {
    const { tokenizer, protocol, config } = this.#options;
    const query = cleanQuery(raw);
    if (query === "") return "empty-query";
    if (this.#searches.length >= config.maxSearches) return "search-budget";
    const found = await this.#ask(query);
    if (typeof found === "string") {
      this.#searches.push({ query, passageIds: [], error: found });
      return "environment-failed";
    }
    const record = { query, passageIds: found.map(({ id }) => id) };
    const block = encodeSegments(
      tokenizer,
      documentBlock(protocol, found, { titles: config.titles, maxWords: config.maxPassageWords }),
    );
    const from = this.#tape.length;
    if (from + block.length + roomToAnswer > this.#contextLength) {
      this.#searches.push(record);
      return "context-full";
    }
    this.#append("search", block, new Float32Array(block.length));
    this.#parser.searchRun(from, this.#tape.length, tokenizer.decode(block));
    this.#searches.push({ ...record, part: this.#parser.parts.length - 1 });
    this.#writtenThisTurn = 0;
    return undefined;
  }

  /** The hits, or what went wrong. A mistake in a searcher's code is neither and escapes. */
  async #ask(query: string): Promise<readonly Hit[] | string> {
    const { searcher, config, signal } = this.#options;
    try {
      const [result] = await searcher.search([query], { k: config.k, ...(signal ? { signal } : {}) });
      if (!result) return "search gave no result for the query";
      return result.ok ? result.hits : result.error.message;
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof SearchError) return messageOf(cause);
      throw cause;
    }
  }
}
