import { expect, test } from "vitest";
import { EngineError, SearchError } from "../base/errors.ts";
import type { SampleRequest, Sampler } from "../engine/engine.ts";
import { type Script, ScriptedSampler, scriptedLogprobs } from "../engine/scripted.ts";
import { byteTokenizer } from "../protocol/byte-tokenizer.ts";
import { parseTape, policyBytes } from "../protocol/parse.ts";
import { protocols } from "../protocol/protocol.ts";
import { lossMask } from "../protocol/tape.ts";
import type { QueryResult, Searcher } from "../search/searcher.ts";
import { collectGroups } from "./collect.ts";
import { RolloutConfig } from "./config.ts";
import { type EpisodeOptions, runEpisode } from "./episode.ts";
import { cleanQuery, searchEnvironment } from "./search-environment.ts";

const protocol = protocols["r1-searcher"];
const tokenizer = byteTokenizer(["<|endoftext|>"], { eos: "<|endoftext|>", pieces: [">\n\n"] });
const piece = 257;
const question = { id: "q", text: "Where was Ada born?", gold: ["London"] };
const bytes = (text: string) => [...tokenizer.encodeTemplate(text)];
const prompt = tokenizer.encodeTemplate("Question: Where was Ada born?\n<think>");

function searcherOf(
  answer: (query: string, signal?: AbortSignal) => QueryResult | Promise<QueryResult>,
): Searcher & { queries: string[] } {
  const queries: string[] = [];
  return {
    queries,
    info: () => ({ kind: "fake", passages: 1, hash: "", settings: {} }),
    search: (all, { signal }) => {
      queries.push(...all);
      return Promise.all(all.map((query) => answer(query, signal)));
    },
    close: async () => {},
  };
}
const found = searcherOf(() => ({
  ok: true,
  hits: [{ id: "p1", title: "Ada", text: "Ada was born in London.", score: 1, rank: 1 }],
}));

const ask = (words: string) => `need<|begin_of_query|>${words}<|end_of_query|>`;
const conclude = "so</think><answer>London</answer>";

interface Given {
  readonly replies?: Script | readonly string[];
  readonly searcher?: Searcher;
  readonly config?: Partial<RolloutConfig>;
  readonly overshoot?: number;
  readonly rest?: Partial<EpisodeOptions>;
}

function episode({
  replies = [ask("Ada"), conclude],
  searcher = found,
  config = {},
  overshoot = 0,
  rest = {},
}: Given = {}) {
  const sampler = new ScriptedSampler({
    replies: typeof replies === "function" ? replies : replies.map(bytes),
    bytesOf: tokenizer.bytesOf,
    contextLength: 2000,
    policyVersion: 7,
    overshoot,
  });
  const settings = RolloutConfig.parse({ maxTokens: 400, ...config });
  return runEpisode({
    question,
    sibling: 3,
    sampler,
    environment: searchEnvironment({ searcher, protocol, config: settings }),
    tokenizer,
    prompt,
    config: settings,
    key: { seed: 1, step: 2, question: 5 },
    ...rest,
  });
}

test("an attempt searches, reads and answers", async () => {
  const attempt = await episode();
  expect(attempt.stop).toBe("answered");
  expect(tokenizer.decode(attempt.tape.tokens)).toBe(
    `Question: Where was Ada born?\n<think>${ask("Ada")}\n\n<|begin_of_documents|>\n(1) Ada: Ada was born in London.\n<|end_of_documents|>\n\n${conclude}`,
  );
  expect(attempt.tape.runs.map(({ author }) => author)).toEqual(["prompt", "policy", "search", "policy"]);
  expect(attempt.transcript.map(({ kind, text }) => [kind, text])).toEqual([
    ["thought", "need"],
    ["query", "Ada"],
    ["documents", "(1) Ada: Ada was born in London.\n"],
    ["thought", "so"],
    ["answer", "London"],
  ]);
  expect(attempt.searches).toEqual([{ query: "Ada", passageIds: ["p1"], part: 2 }]);
  expect([attempt.policyVersion, attempt.sibling]).toEqual([7, 3]);
  expect(attempt.transcript).toEqual(parseTape(protocol, attempt.tape, policyBytes(tokenizer)));
});

test("log-probabilities stand where the policy wrote, each at its own token", async () => {
  const { tape, logprobs } = await episode();
  const key = { seed: 1, step: 2, question: 5, sibling: 3, turn: 0 };
  const all = scriptedLogprobs({ key, tokens: new Int32Array() }, tape.tokens.length);
  expect([...logprobs]).toEqual([...lossMask(tape)].map((mine, i) => (mine ? all[i] : 0)));
});

test.each<[string, Given, string]>([
  ["answered", {}, "so</think><answer>London</answer>"],
  ["ended", { replies: ["no idea<|endoftext|>"] }, "no idea<|endoftext|>"],
  ["ended", { replies: [ask("Ada"), "so"] }, "so<|endoftext|>"],
  ["token-budget", { replies: ["x".repeat(50)], config: { maxTokens: 20 } }, "x".repeat(20)],
  ["token-budget", { replies: [ask("Ada"), conclude], config: { maxTokens: ask("Ada").length + 5 } }, "so</t"],
  ["token-budget", { replies: ["x".repeat(50)], config: { maxTokensPerTurn: 20 } }, "x".repeat(20)],
  ["search-budget", { replies: Array(9).fill(ask("Ada")), config: { maxSearches: 1 } }, ask("Ada")],
  ["search-budget", { config: { maxSearches: 0 } }, ask("Ada")],
  ["empty-query", { replies: [ask(' " \n"')] }, ask(' " \n"')],
  ["context-full", { config: { contextLength: prompt.length + ask("Ada").length + 95 } }, ask("Ada")],
  ["context-full", { replies: ["x".repeat(50)], config: { contextLength: prompt.length + 10 } }, "x".repeat(10)],
  ["context-full", { config: { contextLength: prompt.length } }, "n/a"],
  [
    "environment-failed",
    { searcher: searcherOf(() => ({ ok: false, error: { message: "away", retryable: true } })) },
    ask("Ada"),
  ],
  ["environment-failed", { searcher: searcherOf(() => Promise.reject(new SearchError("index damaged"))) }, ask("Ada")],
])("an attempt stops as %s where it should (%#)", async (stop, given, last) => {
  const { tape, ...attempt } = await episode(given);
  expect(attempt.stop).toBe(stop);
  const { author, length } = tape.runs.at(-1)!;
  expect(author === "policy" ? tokenizer.decode(tape.tokens.slice(-length)) : "n/a").toBe(last);
});

test("documents that leave exactly the room for an answer fit", async () => {
  const block = "\n\n<|begin_of_documents|>\n(1) Ada: Ada was born in London.\n<|end_of_documents|>\n\n".length;
  const full = prompt.length + ask("Ada").length + block + 16;
  expect((await episode({ config: { contextLength: full - 1 } })).searches).toEqual([
    { query: "Ada", passageIds: ["p1"] },
  ]);
  expect((await episode({ config: { contextLength: full } })).searches).toEqual([
    { query: "Ada", passageIds: ["p1"], part: 2 },
  ]);
});

test("what failed is on record, and no documents part was made", async () => {
  const { searches, transcript } = await episode({
    searcher: searcherOf(() => ({ ok: false, error: { message: "away", retryable: true } })),
  });
  expect(searches).toEqual([{ query: "Ada", passageIds: [], error: "away" }]);
  expect(transcript.some(({ kind }) => kind === "documents")).toBe(false);
});

test("what the engine sampled beyond the closing tag is not on the tape", async () => {
  const replies: Script = ({ key }) => bytes(key.turn === 0 ? `${ask("Ada")} and then some` : conclude);
  const plain = await episode();
  for (const overshoot of [1, 3, 10]) expect(await episode({ replies, overshoot })).toEqual(plain);
});

test("a token that ends the closing tag and carries more stays whole", async () => {
  const replies: Script = ({ key }) => (key.turn === 0 ? [...bytes(ask("Ada").slice(0, -1)), piece] : bytes(conclude));
  const { tape, stop, searches } = await episode({ replies });
  expect([stop, searches[0]!.query]).toEqual(["answered", "Ada"]);
  expect(tape.tokens[prompt.length + tape.runs[1]!.length - 1]).toBe(piece);
});

test("a stop text that closes nothing does not end the turn", async () => {
  const { stop, transcript } = await episode({ replies: ["a</answer>", "b</answer>", conclude] });
  expect(stop).toBe("answered");
  expect(transcript.map(({ kind }) => kind)).toEqual(["thought", "stray", "thought", "stray", "thought", "answer"]);
});

test("every request continues the tape, token for token, with its own key", async () => {
  const requests: SampleRequest[] = [];
  const replies: Script = (request) => {
    requests.push(request);
    return bytes([ask("Ada"), ask("Bo"), conclude][request.key.turn]!);
  };
  const { tape } = await episode({ replies });
  expect(requests.map(({ key }) => key.turn)).toEqual([0, 1, 2]);
  for (const { tokens, stop } of requests) {
    expect([...tokens]).toEqual([...tape.tokens.subarray(0, tokens.length)]);
    expect(stop).toEqual({ tokens: [256], text: ["<|end_of_query|>", "</answer>"] });
  }
  expect(requests[1]!.maxTokens).toBe(400 - ask("Ada").length);
});

test("a query goes out without quotes, control characters and doubled spaces", () => {
  expect(cleanQuery('  "Ada   Lovelace" \u0000\n born\ud800 ')).toBe("Ada Lovelace born\ufffd");
});

test("an engine failure escapes; an abort is an abort", async () => {
  await expect(episode({ replies: [] })).resolves.toMatchObject({ stop: "ended" });
  const broken: Sampler = {
    policyVersion: 0,
    contextLength: 999,
    sample: () => Promise.reject(new EngineError("gone")),
  };
  await expect(episode({ rest: { sampler: broken } })).rejects.toThrow(EngineError);
  const long: Sampler = {
    ...broken,
    sample: async () => ({ tokens: new Int32Array(3), logprobs: new Float32Array(2), ended: "stop", policyVersion: 0 }),
  };
  await expect(episode({ rest: { sampler: long } })).rejects.toThrow("3 tokens and 2 log-probabilities");
  const abort = new AbortController();
  const aborting = searcherOf(() => {
    abort.abort(new Error("asked to stop"));
    throw new SearchError("aborted");
  });
  await expect(episode({ searcher: aborting, rest: { signal: abort.signal } })).rejects.toThrow("asked to stop");
});

test("a mistake in a searcher's code is not taken for an outage", async () => {
  const mistaken = searcherOf(() => Promise.reject(new TypeError("x is not a function")));
  await expect(episode({ searcher: mistaken })).rejects.toThrow(TypeError);
});

const three = ["a", "b", "c"].map((id) => ({ id, text: `Where is ${id}?`, gold: [id] }));
const collecting = { tokenizer, config: RolloutConfig.parse({}), key: { seed: 1, step: 0 }, siblings: 4 };
const searching = (searcher: Searcher) => searchEnvironment({ searcher, protocol, config: collecting.config });

test("groups come in the order of the questions, with bounded attempts at once, and keep failed siblings", async () => {
  let running = 0;
  let most = 0;
  const sampler = new ScriptedSampler({ replies: [bytes(ask("x")), bytes(conclude)], bytesOf: tokenizer.bytesOf });
  const slow: Sampler = {
    policyVersion: 0,
    contextLength: 4096,
    sample: async (request) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, (request.key.question * 7 + request.key.sibling * 3) % 5));
      running--;
      return sampler.sample(request);
    },
  };
  let asked = 0;
  const flaky = searcherOf(() =>
    asked++ === 5 ? { ok: false, error: { message: "away", retryable: true } } : { ok: true, hits: [] },
  );
  const arrived: string[] = [];
  const { groups } = await collectGroups(three, {
    ...collecting,
    sampler: slow,
    environment: searching(flaky),
    concurrency: 5,
    promptOf: ({ text }) => tokenizer.encodeText(text),
    onAttempt: ({ question }) => arrived.push(question.id),
  });
  expect(groups.map((group) => group.map(({ question, sibling }) => question.id + sibling))).toEqual(
    ["a", "b", "c"].map((id) => [0, 1, 2, 3].map((sibling) => id + sibling)),
  );
  expect(most).toBe(5);
  expect(groups.flat().filter(({ stop }) => stop === "environment-failed")).toHaveLength(1);
  expect(arrived.sort().join("")).toBe("aaaabbbbcccc");
});

test("the first engine failure abandons the other attempts and is the one that is thrown", async () => {
  let calls = 0;
  let resting = 0;
  const failing: Sampler = {
    policyVersion: 0,
    contextLength: 4096,
    sample: async (_request, signal) => {
      if (++calls === 3) throw new EngineError("out of memory");
      await new Promise<void>((resolve) => signal!.addEventListener("abort", () => setTimeout(resolve, 5)));
      resting++;
      throw new EngineError("aborted");
    },
  };
  const options = { ...collecting, sampler: failing, concurrency: 4, promptOf: () => prompt };
  await expect(collectGroups(three, { ...options, environment: searching(found) })).rejects.toThrow("out of memory");
  expect([calls, resting]).toEqual([4, 3]);
});
