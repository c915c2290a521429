import { SearchError } from "../base/errors.ts";
import type { Question } from "../protocol/question.ts";
import { failureOf, type Trajectory } from "../rollout/trajectory.ts";
import type { Groups } from "./attempts.ts";
import { isFailed, isOutage } from "./health.ts";
import type { StepContext, TrainerParts } from "./parts.ts";

/**
 * Rolls out the questions of one step. Where the environment was away for most attempts, it waits until the environment
 * is back and rolls out again with the same draws, so that an outage changes nothing of what is learnt.
 *
 * @returns [B][G] in the order of the questions
 * @throws SearchError where the environment was away and the trainer has no `waitOut`
 * @throws the signal's reason where that was raised while waiting
 */
export async function rollOutOrWait(
  questions: readonly Question[],
  parts: TrainerParts,
  { cursor, sampler, signal }: StepContext,
): Promise<Groups> {
  const { step, rollbacks } = cursor;
  const request = { step, firstQuestion: step * parts.curriculum.batch, sampler, rollbacks, signal };
  for (let times = 1; ; times++) {
    const groups = await parts.rollOut(questions, request);
    if (groups.length !== questions.length)
      throw new Error(`${questions.length} questions gave ${groups.length} groups`);
    const attempts = groups.flat();
    if (!isOutage(attempts, parts.waitOut ? times : Number.POSITIVE_INFINITY)) return groups;
    const failed = attempts.filter(isFailed);
    const because = firstFailure(failed) ?? "no reason given";
    if (!parts.waitOut) {
      throw new SearchError(
        `${failed.length} of ${attempts.length} attempts of step ${step} failed outside the policy: ${because}`,
        { hint: "bring search back, then continue with --resume" },
      );
    }
    await parts.waitOut({ step, failed: failed.length, attempts: attempts.length, times, because }, signal);
    signal.throwIfAborted();
  }
}

/** Why the environment failed the first of these attempts that it failed; undefined where it failed none. */
export function firstFailure(attempts: readonly Trajectory[]): string | undefined {
  return attempts.map(failureOf).find((failure) => failure !== undefined);
}
