import { expect, test } from "vitest";
import type { Trajectory } from "../rollout/trajectory.ts";
import { alarms, EmptySearchWatch, searchGauges as gaugesOf, isOutage } from "./health.ts";
import { TinyLearner, tinyParts, trajectory } from "./testing/tiny-run.ts";
import { train } from "./training-loop.ts";

const searchGauges = (attempts: readonly Trajectory[], promptOf = () => "") => gaugesOf(attempts, promptOf);

function searched(gold: string, ...shown: { ids: string[]; text?: string; error?: string }[]): Trajectory {
  const made = trajectory({ question: { id: "q", text: "Where was Ada born?", gold: [gold] } });
  return {
    ...made,
    searches: shown.map(({ ids, error }) => ({ query: "ada", passageIds: ids, ...(error ? { error } : { part: 0 }) })),
    transcript: shown.flatMap(({ text, error }) =>
      error ? [] : [{ kind: "documents" as const, author: "search" as const, text: text ?? "", from: 0, to: 0 }],
    ),
  };
}

test("gauges tell a retriever that works from one that only answers", () => {
  const gauges = searchGauges([
    searched("Poktun", { ids: ["a", "b"], text: "Ada was born in POKTUN." }, { ids: ["b", "c"], text: "more" }),
    searched("Poktun", { ids: ["a", "b"], text: "Poktunia is elsewhere" }),
    searched("Poktun", { ids: [] }),
    searched("Poktun", { ids: [], error: "away" }),
  ]);
  expect(gauges).toMatchObject({
    "search/rate": 0.75,
    "search/empty": 0.25,
    "search/distinct_passages": 3 / 6,
    "search/duplicate": 1 / 6, // b, twice in one attempt
    "search/gold_in_documents": 1 / 3,
  });
  expect(searchGauges([trajectory()])).toMatchObject({ "search/duplicate": 0, "search/gold_in_documents": 0 });
});

test("search was away where most attempts that searched failed, however few searched, unless it stays so", () => {
  const failed = { ...searched("x", { ids: [], error: "away" }), stop: "environment-failed" as const };
  const quiet = trajectory();
  const fine = searched("x", { ids: ["a"], text: "a" });
  const times = (count: number, made: Trajectory) => Array.from({ length: count }, () => made);
  expect(isOutage([...times(2, failed), ...times(22, quiet)], 1)).toBe(true); // the rest did not search: they would teach that
  expect(isOutage([...times(2, failed), ...times(22, quiet)], 4)).toBe(false); // the fault is with these queries
  expect(isOutage([...times(2, failed), ...times(22, fine)], 1)).toBe(false);
  expect(isOutage([...times(13, failed), ...times(11, fine)], 9)).toBe(true);
  expect(isOutage(times(24, quiet), 1)).toBe(false);
});

test("queries that the prompt gave word for word are seen, and words of the question are no copy", () => {
  const prompt = "Question: Which river? <think> Lyon river </think> Question: Where was Ada born? <think>";
  const asked = (...queries: string[]): Trajectory => ({
    ...searched("Poktun"),
    searches: queries.map((query) => ({ query, passageIds: ["a"], part: 0 })),
  });
  const gauges = searchGauges([asked("lyon  River", "Ada born"), asked("Where was Ada born?")], () => prompt);
  expect(gauges["query/copied"]).toBeCloseTo(1 / 3);
  expect(alarms(gauges)).toEqual([]);
  expect(alarms(searchGauges([asked("Lyon river"), asked("river")], () => prompt))).toEqual([
    expect.stringMatching("repeat words of the prompt"),
    expect.stringMatching("hardly any query holds a word of its question"),
  ]);
});

test("only searches that found nothing, step after step, are a search that has died", async () => {
  const watch = new EmptySearchWatch(3);
  let finds = false;
  const step = async (empty: number, searches = 2) =>
    (await watch.note({ "search/empty": empty, "search/per_trajectory": searches }, async () => finds))?.message;
  for (const empty of [1, 1, 0.99, 1, 1]) expect(await step(empty)).toBeUndefined();
  expect(await step(0, 0)).toBeUndefined(); // nobody searched: it says nothing
  finds = true;
  expect(await step(1)).toBeUndefined(); // the questions themselves find something: the policy asks nonsense
  finds = false;
  expect([await step(1), await step(1)]).toEqual([undefined, undefined]);
  expect(await step(1)).toContain("every search of the last 3 steps found nothing");
  const never = new EmptySearchWatch(0);
  const dead = { "search/empty": 1, "search/per_trajectory": 1 };
  for (let i = 0; i < 50; i++) expect(await never.note(dead, async () => false)).toBeUndefined();
});

test("a run whose search has died is saved and stops; one that is away for good too", async () => {
  const saved: number[] = [];
  const parts = tinyParts(new TinyLearner(), {
    keeper: {
      record: async () => {},
      save: async ({ step }) => void saved.push(step),
      rollBack: () => Promise.reject(new Error("nothing")),
    },
  });
  const config = { ...parts.config, stopAfterEmptySteps: 3, checkpointEvery: 100 };
  const rollOut: typeof parts.rollOut = async (questions, request) =>
    (await parts.rollOut(questions, request)).map((group) =>
      group.map((one) => ({ ...one, searches: [{ query: "x", passageIds: [], part: 0 }] })),
    );
  const asked: string[] = [];
  const searchFinds = async (questions: readonly { text: string }[]) => {
    asked.push(...questions.map(({ text }) => text));
    return false;
  };
  await expect(train({ ...parts, config, rollOut, searchFinds })).rejects.toThrow("search has died");
  expect(saved.at(-1)).toBe(3);
  expect(asked).toEqual(["What is 2 plus 0?", "What is 2 plus 1?", "What is 2 plus 2?"]);
  await train({ ...parts, config, rollOut, searchFinds: async () => true });

  saved.length = 0;
  const failing: typeof parts.rollOut = async (questions, request) =>
    (await parts.rollOut(questions, request)).map((group) =>
      group.map((one) => ({ ...one, stop: request.step < 2 ? one.stop : ("environment-failed" as const) })),
    );
  await expect(train({ ...parts, config, rollOut: failing })).rejects.toThrow("failed outside the policy");
  expect(saved.at(-1)).toBe(2);
});
