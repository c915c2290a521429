import { expect, test } from "vitest";
import { worldQuestions } from "../../data/world/questions.ts";
import { bundled, exampleWorld } from "../engines/open-policy.ts";
import { worldSearcher } from "../search/open-search.ts";
import { openAsker } from "./run-ask.ts";

test("questions that come at once are answered in turn, as if each were alone; one that is given up is not asked", async () => {
  const world = exampleWorld();
  const searcher = worldSearcher(world);
  const questions = worldQuestions([world], 4, { seed: 1, mix: { "1-hop": 0, "2-hop": 1, comparison: 0 } });
  const asker = await openAsker(searcher, { model: bundled("nano-searcher") });
  const how = { decode: "greedy", seed: 1 } as const;
  const alone: (string | undefined)[] = [];
  for (const question of questions) alone.push((await asker.ask(question, how)).answer);
  const givenUp = new AbortController();
  const together = questions.map((question) => asker.ask(question, how));
  const last = asker.ask(questions[0]!, { ...how, signal: givenUp.signal });
  givenUp.abort();
  await expect(last).rejects.toThrow("aborted");
  expect((await Promise.all(together)).map(({ answer }) => answer)).toEqual(alone);
  expect(alone.filter((answer) => answer !== undefined)).toHaveLength(4);
  await asker.close();
});
