import pLimit from "p-limit";
import type { SampleKey } from "../engine/engine.ts";
import type { Question } from "../protocol/question.ts";
import type { RolloutParts } from "./episode.ts";
import { runGroup } from "./group.ts";
import type { Trajectory } from "./trajectory.ts";

export interface CollectOptions extends RolloutParts {
  readonly promptOf: (question: Question) => Int32Array;
  /** Attempts at each question. */
  readonly siblings: number;
  /** Attempts that run at once. */
  readonly concurrency: number;
  readonly key: Pick<SampleKey, "seed" | "step">;
  /** The number of the question within the run, from its place in `questions`; default its place. */
  readonly numberOf?: (index: number) => number;
  readonly signal?: AbortSignal;
  /** After each attempt, in order of arrival. */
  readonly onAttempt?: (trajectory: Trajectory) => void;
}

/** Groups [B][G] in the order of the questions. The first error abandons all attempts and is thrown once they rest. */
export async function collectGroups(
  questions: readonly Question[],
  { promptOf, concurrency, key, numberOf = (index) => index, signal, onAttempt, ...parts }: CollectOptions,
): Promise<{ readonly groups: readonly (readonly Trajectory[])[] }> {
  const abandon = new AbortController();
  const limited = pLimit(concurrency);
  const limit = (work: () => Promise<Trajectory>) =>
    limited(async () => {
      try {
        abandon.signal.throwIfAborted();
        const trajectory = await work();
        onAttempt?.(trajectory);
        return trajectory;
      } catch (cause) {
        abandon.abort(cause);
        throw cause;
      }
    });
  const prompts = questions.map(promptOf);
  const both = signal ? AbortSignal.any([signal, abandon.signal]) : abandon.signal;
  const groups = questions.map((question, index) =>
    runGroup({
      ...parts,
      question,
      prompt: prompts[index]!,
      key: { ...key, question: numberOf(index) },
      signal: both,
      limit,
    }),
  );
  await Promise.allSettled(groups);
  if (abandon.signal.aborted) throw abandon.signal.reason; // the first error, not the aborts that followed from it
  return { groups: await Promise.all(groups) };
}
