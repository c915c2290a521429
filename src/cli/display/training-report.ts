import type { TrainingResult } from "../../run/train/train-options.ts";
import type { Output } from "../output.ts";
import { curve } from "./curve.ts";
import { evalTable } from "./eval-table.ts";
import { formatAttempt } from "./transcript.ts";
import { duration } from "./words.ts";

/** What the user sees after training: the table, the curve, one question before and after, and what to do next. */
export function reportTraining(
  output: Output,
  { run, seconds, search, evals, history, example }: TrainingResult,
): void {
  if (evals.length > 0) output.say(`\n${evalTable(evals, output.colour)}`);
  if (history.length > 1) {
    const rewards = history.map(({ reward }) => reward);
    output.say(`\n${curve("reward by step", rewards, output.stream.columns)}`);
  }
  for (const [when, shown] of Object.entries(example ?? {})) {
    output.say(`\n${when} training:\n${formatAttempt(shown, output.colour)}`);
  }
  output.say(`\ndone in ${duration(seconds)}; the run is in ${run}`);
  const where =
    search.source === "http" ? `--search ${search.url}` : `--index ${search.source === "index" ? search.path : "DIR"}`;
  const how = search.source === "world" ? `--example --model ${run}` : `"a question" --model ${run} ${where}`;
  output.say(`ask it:  npx r1-searcher ask ${how}`);
}
