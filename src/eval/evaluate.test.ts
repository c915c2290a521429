import { expect, test } from "vitest";
import { DataError, SearchError } from "../base/errors.ts";
import type { SampleRequest } from "../engine/engine.ts";
import { ScriptedSampler } from "../engine/scripted.ts";
import { byteTokenizer } from "../protocol/byte-tokenizer.ts";
import { protocols } from "../protocol/protocol.ts";
import { scoreRows } from "../reward/score.ts";
import { RolloutConfig } from "../rollout/config.ts";
import type { EnvironmentFactory } from "../rollout/environment.ts";
import { searchEnvironment } from "../rollout/search-environment.ts";
import type { QueryResult } from "../search/searcher.ts";
import { type EvaluateOptions, evaluate } from "./evaluate.ts";

const protocol = protocols["r1-searcher"];
const tokenizer = byteTokenizer([...Object.values(protocol.answer), "<|endoftext|>"], { eos: "<|endoftext|>" });
const ask = "a<|begin_of_query|>x<|end_of_query|>";
const said = [
  "b</think><answer>London</answer>",
  "b</think><answer>Paris</answer>",
  "b<answer>city of Rome</answer>",
  "",
];
const questions = [
  { id: "0", text: "0", gold: ["London"], type: "1-hop" },
  { id: "1", text: "1", gold: ["London"], type: "2-hop" },
  { id: "2", text: "2", gold: ["Rome"], type: "2-hop" },
  { id: "3", text: "3", gold: ["Oslo"], type: "1-hop" },
];

function searching(answer: () => QueryResult): EnvironmentFactory {
  const searcher = {
    info: () => ({ kind: "fake", passages: 0, hash: "", settings: {} }),
    search: async () => [answer()],
    close: async () => {},
  };
  return searchEnvironment({ searcher, protocol, config: RolloutConfig.parse({}) });
}

function options(given: Partial<EvaluateOptions> = {}): EvaluateOptions & { requests: SampleRequest[] } {
  const requests: SampleRequest[] = [];
  const sampler = new ScriptedSampler({
    replies: (request) => {
      requests.push(request);
      const { question, turn } = request.key;
      return [...tokenizer.encodeTemplate(turn === 0 && question !== 1 ? ask : said[question]!)];
    },
    bytesOf: tokenizer.bytesOf,
  });
  let searches = 0;
  return {
    requests,
    questions,
    promptOf: ({ text }) => tokenizer.encodeText(text),
    decode: "greedy",
    sampler,
    environment: searching(() =>
      searches++ === 2 ? { ok: false, error: { message: "away", retryable: true } } : { ok: true, hits: [] },
    ),
    tokenizer,
    config: RolloutConfig.parse({}),
    seed: 1,
    concurrency: 1,
    ...given,
  };
}

test("a report counts what was answered, and leaves out what search failed", async () => {
  const { summary, results } = await evaluate(options());
  expect({ ...summary, interval95: undefined, f1Interval95: undefined }).toEqual({
    n: 3,
    em: 1 / 3,
    f1: (1 + 0 + 0.5) / 3,
    coverEm: 2 / 3,
    searchRate: 2 / 3,
    realQueryRate: 0,
    searches: 2 / 3,
    formatRate: 2 / 3,
    byType: { "1-hop": 1, "2-hop": 0 },
    failed: 1,
    interval95: undefined,
    f1Interval95: undefined,
  });
  expect(summary.interval95[0]).toBeCloseTo(0.0615, 3); // Wilson, 1 of 3
  expect(summary.interval95[1]).toBeCloseTo(0.7923, 3);
  expect(summary.f1Interval95).toEqual([0, 1]); // 0.5 ± 1.96 · 0.5/√3
  expect(results.map(({ stop }) => stop)).toEqual(["answered", "answered", "answered", "environment-failed"]);
  expect(results[3]!.scores).toBeUndefined();
  expect(scoreRows(results.slice(0, 3))).toEqual({ n: 3, em: 33.3, coverEm: 66.7, coverEm2: 66.7, f1: 50 });
});

test("greedy takes the likeliest token; sampled keeps the temperature of the rollouts", async () => {
  const [greedy, sampled] = [options(), options({ decode: "sampled" })];
  await evaluate(greedy);
  await evaluate(sampled);
  expect(new Set(greedy.requests.map(({ temperature }) => temperature))).toEqual(new Set([0]));
  expect(new Set(sampled.requests.map(({ temperature }) => temperature))).toEqual(new Set([1]));
});

test("progress is told after each attempt", async () => {
  const told: unknown[] = [];
  await evaluate(options({ onProgress: (progress) => told.push(progress) }));
  expect(told).toEqual([
    { done: 1, total: 4, em: 1 },
    { done: 2, total: 4, em: 0.5 },
    { done: 3, total: 4, em: 1 / 3 },
    { done: 4, total: 4, em: 1 / 3 },
  ]);
});

test("nothing to evaluate is an error, and so is a search that never works", async () => {
  await expect(evaluate(options({ questions: [] }))).rejects.toThrow(DataError);
  const away = searching(() => ({ ok: false, error: { message: "away", retryable: false } }));
  await expect(evaluate(options({ environment: away, questions: [questions[0]!] }))).rejects.toThrow(SearchError);
});
