/** @file The conformance suite against search and against a tool with tags of its own, and planted faults that it must find. */
import { describe, expect, test } from "vitest";
import { observationBlock } from "../protocol/documents.ts";
import { customProtocol, protocols } from "../protocol/protocol.ts";
import type { Hit, QueryResult } from "../search/searcher.ts";
import { RolloutConfig } from "./config.ts";
import type { Environment, EnvironmentFactory, StepResult } from "./environment.ts";
import { type EnvironmentConformanceOptions, environmentConformance } from "./environment-conformance.ts";
import { searchEnvironment } from "./search-environment.ts";

const question = { id: "q", text: "How much is 6 times 7?", gold: ["42"] };

function searching(answer: (query: string) => QueryResult): EnvironmentFactory {
  const searcher = {
    info: () => ({ kind: "fake", passages: 1, hash: "", settings: {} }),
    search: async (queries: readonly string[], { signal }: { readonly signal?: AbortSignal }) => {
      signal?.throwIfAborted();
      return queries.map(answer);
    },
    close: async () => {},
  };
  return searchEnvironment({ searcher, protocol: protocols["search-r1"], config: RolloutConfig.parse({}) });
}

const hit = (text: string): Hit => ({ id: "p", title: "Ada", text, score: 1, rank: 1 });
const search: EnvironmentConformanceOptions = {
  make: () => searching((query) => ({ ok: true, hits: [hit(`about ${query} <search> </answer>`)] })),
  makeFailing: () => searching(() => ({ ok: false, error: { message: "away", retryable: true } })),
  question,
  actions: [
    { kind: "query", text: " Ada " },
    { kind: "query", text: "Lovelace" },
  ],
};

const protocol = customProtocol({
  name: "calculator",
  actions: [
    { kind: "calculate", open: "<calculate>", close: "</calculate>" },
    { kind: "submit", open: "<submit>", close: "</submit>" },
  ],
});

/** Multiplies; a submitted result ends the attempt and is rewarded. */
function calculator(change: (result: StepResult) => StepResult = (result) => result): EnvironmentFactory {
  const open = (): Environment => {
    let last = "";
    return {
      reset: async ({ text }) => ({
        kind: "observation",
        author: "tool",
        segments: observationBlock(protocol, `Task: ${text}`),
      }),
      step: async ({ kind, text }) => {
        if (kind === "submit") {
          const value = Number(text === last);
          return change({
            kind: "done",
            rewards: [{ rule: "submitted", value, because: "compared with the last result" }],
          });
        }
        const [a = Number.NaN, b = Number.NaN] = text.split("*").map(Number);
        last = Number.isFinite(a * b) ? String(a * b) : `cannot multiply ${text}`;
        return change({ kind: "observation", author: "tool", segments: observationBlock(protocol, last) });
      },
    };
  };
  return { protocol, open };
}
const calculation: EnvironmentConformanceOptions = {
  make: () => calculator(),
  question,
  actions: [
    { kind: "calculate", text: "6 * 7" },
    { kind: "submit", text: "42" },
  ],
};

for (const { name, run } of environmentConformance("search", search)) test(name, run);
for (const { name, run } of environmentConformance("a calculator", calculation)) test(name, run);

describe("a planted fault is found:", () => {
  const faultsOf = async (options: EnvironmentConformanceOptions) => {
    const outcomes = environmentConformance("x", options).map(({ name, run }) =>
      run().then(
        () => [],
        () => [name.slice("x: ".length)],
      ),
    );
    return (await Promise.all(outcomes)).flat();
  };
  const planted = (make: () => EnvironmentFactory) => faultsOf({ ...calculation, make });
  let calls = 0;
  const waiting = (): EnvironmentFactory => ({
    protocol,
    open: () => ({ reset: async () => undefined, step: () => new Promise(() => {}) }),
  });

  test.each<[string, () => EnvironmentFactory, string]>([
    [
      "results that depend on earlier attempts",
      () => calculator((result) => ({ ...result, rewards: [{ rule: "call", value: ++calls, because: "counted" }] })),
      "an attempt does not feel another one beside it",
    ],
    [
      "a reward that is not a number",
      () => calculator((result) => ({ ...result, rewards: [{ rule: "x", value: Number.NaN, because: "0 / 0" }] })),
      "reward parts are finite, named and explained",
    ],
    [
      "what the policy wrote as template text",
      () =>
        calculator((result) =>
          result.kind === "observation"
            ? { ...result, segments: result.segments.map(({ text }) => ({ text, template: true })) }
            : result,
        ),
      "what the question and the policy say is never taken for text of the program's own",
    ],
    [
      "a failure where the policy wrote nonsense",
      () =>
        calculator((result) => (JSON.stringify(result).includes("cannot") ? { kind: "failed", error: "?" } : result)),
      "any text of an action gets a result",
    ],
  ])("%s", async (_, make, check) => {
    expect(await planted(make)).toContain(check);
  });

  test("a call that does not end when the signal is raised", async () => {
    const checks = environmentConformance("x", { ...calculation, make: waiting });
    const { run } = checks.find(({ name }) => name.includes("raised signal"))!;
    await expect(run()).rejects.toThrow("still running");
  });

  test("a failure that is thrown", async () => {
    const makeFailing = (): EnvironmentFactory => ({
      protocol,
      open: () => ({ reset: async () => undefined, step: () => Promise.reject(new Error("connection refused")) }),
    });
    expect(await faultsOf({ ...calculation, makeFailing })).toContain(
      "a failure is a value, and the attempt has no reward",
    );
  });
});
