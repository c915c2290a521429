/** @file One attempt at one question: sample, act, observe, again, until it stops. Sampled ids are never re-encoded. */
import { EngineError } from "../base/errors.ts";
import type { Tokenizer } from "../base/tokenizer.ts";
import type { Sample, SampleKey, Sampler } from "../engine/engine.ts";
import { encodeSegments, neutraliseSegments } from "../protocol/documents.ts";
import { type ParserEvent, policyBytes, TranscriptParser } from "../protocol/parse.ts";
import { type Protocol, stopTexts } from "../protocol/protocol.ts";
import type { Question } from "../protocol/question.ts";
import type { RewardPart } from "../protocol/reward-part.ts";
import { type Author, TapeBuilder } from "../protocol/tape.ts";
import type { RolloutConfig } from "./config.ts";
import type { AttemptContext, Environment, EnvironmentFactory, Observed, StepResult } from "./environment.ts";
import type { ActionRecord, SearchRecord, Stop, Trajectory } from "./trajectory.ts";

/** What an attempt is made with. */
export interface RolloutParts {
  readonly sampler: Sampler;
  readonly environment: EnvironmentFactory;
  readonly tokenizer: Tokenizer;
  readonly config: Pick<
    RolloutConfig,
    "maxTokens" | "maxTokensPerTurn" | "contextLength" | "temperature" | "topP" | "topK"
  >;
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

/** An observation that would leave less room than this for an answer does not fit. */
const roomToAnswer = 16;

/** @throws EngineError where the engine fails, the signal's reason where it is raised */
export async function runEpisode(options: EpisodeOptions): Promise<Trajectory> {
  const environment = options.environment.open();
  const episode = new Episode(options, environment);
  try {
    const trajectory = await episode.run().catch(async (cause: unknown) => {
      await environment.close?.().catch(() => {}); // what went wrong first is what is reported
      throw cause;
    });
    await environment.close?.();
    return trajectory;
  } catch (cause) {
    options.signal?.throwIfAborted(); // an abort is an abort, however the engine reports it
    throw cause;
  } finally {
    options.sampler.finished?.({ ...options.key, sibling: options.sibling, turn: 0 });
  }
}

class Episode {
  readonly #options: EpisodeOptions;
  readonly #environment: Environment;
  readonly #protocol: Protocol;
  readonly #context: AttemptContext;
  readonly #tape = new TapeBuilder();
  readonly #parser: TranscriptParser;
  readonly #bytesOf: (id: number) => Uint8Array;
  readonly #logprobs: number[] = [];
  readonly #searches: SearchRecord[] = [];
  readonly #actions: ActionRecord[] = [];
  readonly #rewards: RewardPart[] = [];
  readonly #contextLength: number;
  /** By turn. */
  readonly #versions = new Map<number, number>();
  #written = 0;
  #writtenThisTurn = 0;

  constructor(options: EpisodeOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    const { config, sampler, tokenizer, key, sibling, signal = new AbortController().signal } = options;
    this.#protocol = options.environment.protocol;
    this.#context = { key: { ...key, sibling }, signal };
    this.#parser = new TranscriptParser(this.#protocol);
    this.#bytesOf = policyBytes(tokenizer);
    this.#contextLength = Math.min(sampler.contextLength, config.contextLength || sampler.contextLength);
  }

  async run(): Promise<Trajectory> {
    const { question, sibling, sampler, prompt } = this.#options;
    this.#append("prompt", prompt, new Float32Array(prompt.length));
    const stop = (await this.#reset()) ?? (await this.#untilStop());
    return {
      question,
      sibling,
      tape: this.#tape.tape(),
      transcript: this.#parser.finish(),
      logprobs: Float32Array.from(this.#logprobs),
      searches: this.#searches,
      ...(this.#actions.length > 0 ? { actions: this.#actions } : {}),
      ...(this.#rewards.length > 0 ? { rewards: this.#rewards } : {}),
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
      const stop = await this.#act(taken);
      if (stop) return stop;
    }
  }

  async #sample(turn: number, maxTokens: number): Promise<Sample> {
    const { sampler, tokenizer, config, key, sibling, signal } = this.#options;
    const { temperature, topP, topK } = config;
    const request = {
      tokens: this.#tape.tokens,
      maxTokens,
      temperature,
      topP,
      topK,
      stop: { tokens: tokenizer.eosIds, text: stopTexts(this.#protocol) },
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

  async #reset(): Promise<Stop | undefined> {
    const result = await this.#environment.reset(this.#options.question, this.#context);
    if (!result) return undefined;
    if (result.kind === "failed") {
      this.#actions.push({ kind: "reset", text: "", error: result.error });
      return "environment-failed";
    }
    this.#keepRewards(result);
    return this.#observe(result) === undefined ? "context-full" : undefined;
  }

  /** Hands a closed action to the environment and records what came of it. */
  async #act({ kind, action = kind, text, part: asked }: ParserEvent): Promise<Stop | undefined> {
    const result = await this.#environment.step({ kind: action, text }, this.#context);
    const record = (outcome: { readonly part?: number; readonly error?: string }) => {
      if ("search" in result && result.search) this.#searches.push({ ...result.search, ...outcome });
      else this.#actions.push({ kind: action, text, ...outcome });
    };
    if (result.kind === "failed") {
      record({ error: result.error });
      return "environment-failed";
    }
    this.#keepRewards(result, asked);
    if (result.kind === "done") {
      if (result.refused) return result.refused;
      record({});
      return "environment-done";
    }
    const part = this.#observe(result);
    record(part === undefined ? {} : { part });
    return part === undefined ? "context-full" : undefined;
  }

  /** Puts an observation on the tape. @returns its part of the transcript; undefined where it does not fit */
  #observe({ author, segments }: Observed): number | undefined {
    const { tokenizer } = this.#options;
    const block = encodeSegments(tokenizer, neutraliseSegments(this.#protocol, segments));
    const from = this.#tape.length;
    if (from + block.length + roomToAnswer > this.#contextLength) return undefined;
    this.#append(author, block, new Float32Array(block.length));
    this.#parser.environmentRun(author, from, this.#tape.length, tokenizer.decode(block));
    this.#writtenThisTurn = 0;
    return this.#parser.parts.length - 1;
  }

  /** @param asked the part of the transcript that parts without one speak of */
  #keepRewards({ rewards = [] }: Exclude<StepResult, { kind: "failed" }>, asked?: number): void {
    for (const reward of rewards) {
      if (!Number.isFinite(reward.value))
        throw new Error(`the environment gave ${reward.value} as reward "${reward.rule}"`);
      this.#rewards.push(asked === undefined ? reward : { part: asked, ...reward });
    }
  }
}
