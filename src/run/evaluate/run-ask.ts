import { availableParallelism } from "node:os";
import { join } from "node:path";
import pLimit from "p-limit";
import { ConfigError } from "../../base/errors.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { worldQuestions } from "../../data/world/questions.ts";
import { policyBytes } from "../../protocol/parse.ts";
import type { Question } from "../../protocol/question.ts";
import type { Author } from "../../protocol/tape.ts";
import { answerOf } from "../../reward/format.ts";
import { runEpisode } from "../../rollout/episode.ts";
import { searchEnvironment } from "../../rollout/search-environment.ts";
import type { Trajectory } from "../../rollout/trajectory.ts";
import type { Searcher } from "../../search/searcher.ts";
import { openEngine } from "../engines/open-engine.ts";
import { bundled, exampleWorld } from "../engines/open-policy.ts";
import type { SearchConfig } from "../recipe/search-settings.ts";
import { openSearch } from "../search/open-search.ts";

export interface AskOptions {
  /** If absent, an example question of the bundled world. */
  readonly question?: string;
  /** A model folder or a run folder; default the bundled searcher. */
  readonly model?: string;
  /**
   * A PEFT folder or a run that trained an adapter, used with `model`; without `model`, with the base model that it
   * names.
   */
  readonly adapter?: string | undefined;
  /** Name or file of a prompt; default the policy's own. */
  readonly prompt?: string | undefined;
  /** The searcher; default the bundled world's index. */
  readonly search?: Partial<SearchConfig>;
  readonly decode: "greedy" | "sampled";
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Receives the tape as it grows, in order, with each author. */
  readonly onText?: (author: Author, text: string) => void;
}

export interface AskResult {
  readonly trajectory: Trajectory;
  /** Undefined if the policy closed no answer. */
  readonly answer: string | undefined;
}

/** Questions from which an example is drawn; they have two hops, because a single search cannot answer those. */
const examples = 200;

export async function runAsk(options: AskOptions): Promise<AskResult> {
  const { searcher } = await openSearch(searchFor(options));
  try {
    const asker = await openAsker(searcher, options);
    try {
      return await asker.ask(questionOf(options), options);
    } finally {
      await asker.close();
    }
  } finally {
    await searcher.close();
  }
}

/** A policy that answers one question at a time; further questions wait. */
export interface Asker {
  ask(question: Question, how: Pick<AskOptions, "decode" | "seed" | "signal" | "onText">): Promise<AskResult>;
  close(): Promise<void>;
}

export async function openAsker(
  searcher: Searcher,
  { model, adapter, prompt }: Pick<AskOptions, "model" | "adapter" | "prompt">,
): Promise<Asker> {
  // one attempt at a time uses one worker, so that worker gets all cores
  const engine = { workers: 1, threads: availableParallelism() };
  const policy = await openEngine(model ?? adapter ?? bundled("nano-searcher"), {
    ...{ training: false, concurrency: 1, prompt, engine },
    adapter: model === undefined ? undefined : adapter,
  });
  const { tokenizer, protocol, rollout, promptFor } = policy;
  const environment = searchEnvironment({ searcher, protocol, config: rollout });
  const sampler = await policy.sampler();
  const inTurn = pLimit(1);
  const ask: Asker["ask"] = async (question, { decode, seed, signal, onText }) => {
    signal?.throwIfAborted(); // aborted while it waited
    const trajectory = await runEpisode({
      question,
      sibling: 0,
      prompt: promptFor(question),
      sampler,
      environment,
      tokenizer,
      config: decode === "greedy" ? { ...rollout, temperature: 0 } : rollout,
      key: { seed, step: 0, question: 0 },
      ...(signal ? { signal } : {}),
      ...(onText ? { onAppend: textWriter(policy.tokenizer, onText), chunk: 1 } : {}),
    });
    return { trajectory, answer: answerOf(trajectory.transcript) };
  };
  return { ask: (question, how) => inTurn(ask, question, how), close: () => policy.close() };
}

/** A character may be spread over several tokens: its text is reported with the last of them. */
function textWriter(tokenizer: Tokenizer, onText: (author: Author, text: string) => void) {
  const bytesOf = policyBytes(tokenizer);
  const decoder = new TextDecoder();
  return (author: Author, tokens: Int32Array) => {
    const text =
      author === "policy"
        ? Array.from(tokens, (id) => decoder.decode(bytesOf(id), { stream: true })).join("")
        : decoder.decode() + tokenizer.decode(tokens);
    if (text !== "") onText(author, text);
  };
}

function questionOf({ question, seed }: AskOptions): Question {
  if (question !== undefined) return { id: "asked", text: question, gold: [] };
  const list = worldQuestions([exampleWorld()], examples, { seed: 1, mix: { "1-hop": 0, "2-hop": 1, comparison: 0 } });
  return list[seed % examples]!;
}

function searchFor({ question, search, model, adapter }: AskOptions): Partial<SearchConfig> {
  const own = join(bundled("nano-searcher"), "index");
  if (search === undefined && question !== undefined && (model ?? adapter) !== undefined) {
    throw new ConfigError("ask needs --index or --search for a model of your own", {
      hint: `make one with \`r1-searcher index build CORPUS --out DIR\`, or ask the fictional world with --index ${own}`,
    });
  }
  return search ?? { source: "index", path: own };
}
