import { expect, test } from "vitest";
import { SearchError } from "../base/errors.ts";
import type { Outage } from "./parts.ts";
import { memoryKeeper } from "./testing/memory-keeper.ts";
import { TinyLearner, tinyParts } from "./testing/tiny-run.ts";
import { train } from "./training-loop.ts";

test("an outage waits and then makes the step as if nothing had been; without a wait it ends the run", async () => {
  const outages: Outage[] = [];
  const run = async (outage: boolean) => {
    const learner = new TinyLearner();
    const { keeper, records } = memoryKeeper(learner);
    const parts = tinyParts(learner, { keeper });
    let calls = 0;
    await train({
      ...parts,
      waitOut: async (what) => void outages.push(what),
      rollOut: async (questions, request) => {
        const groups = await parts.rollOut(questions, request);
        const isAway = outage && calls++ < 2;
        const searches = [{ query: "x", passageIds: [], error: "connection refused" }];
        return isAway
          ? groups.map((group) => group.map((one) => ({ ...one, searches, stop: "environment-failed" as const })))
          : groups;
      },
    });
    return { logits: [...learner.logits], metrics: records.map(({ metrics }) => metrics) };
  };
  expect(await run(true)).toEqual(await run(false));
  expect(outages).toMatchObject([
    { step: 0, failed: 12, attempts: 12, times: 1, because: "connection refused" },
    { times: 2 },
  ]);
  const parts = tinyParts(new TinyLearner());
  const rollOut: typeof parts.rollOut = async (questions, request) =>
    (await parts.rollOut(questions, request)).map((group) =>
      group.map((one) => ({ ...one, stop: "environment-failed" as const })),
    );
  await expect(train({ ...parts, rollOut })).rejects.toThrow(SearchError);
});
