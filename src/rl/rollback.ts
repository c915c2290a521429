/** @file How the cursor of a run moves: one step on, or back to a checkpoint where updates keep being refused. */
import { EngineError } from "../base/errors.ts";
import { MAX_REFUSED } from "./learn.ts";
import type { Cursor } from "./parts.ts";

/** How often a run may go back to a checkpoint before it gets past the step at which updates were refused. */
const MAX_ROLLBACKS = 2;

/** @param refused updates refused in a row until now */
export function afterStep(cursor: Cursor, refused: number): Cursor {
  const { step, rollbacks, trouble } = cursor;
  const isPast = refused === 0 && step >= trouble;
  return { ...cursor, step: step + 1, refused, rollbacks: isPast ? 0 : rollbacks, trouble: isPast ? -1 : trouble };
}

/**
 * Restores the newest good checkpoint after MAX_REFUSED updates in a row were refused.
 *
 * @param restore brings back the learner and says at which cursor it was saved
 * @throws EngineError where the run has gone back too often already
 */
export async function goBack(
  { step, rollbacks }: Pick<Cursor, "step" | "rollbacks">,
  restore: () => Promise<Cursor>,
): Promise<Cursor> {
  if (rollbacks >= MAX_ROLLBACKS) {
    throw new EngineError(
      `${MAX_REFUSED} updates in a row were refused at step ${step}: their losses or gradients are not finite, after going back ${rollbacks} times`,
      { hint: "lower optimizer.learningRate; the last good checkpoint is kept" },
    );
  }
  const checkpoint = await restore();
  return { ...checkpoint, refused: 0, rollbacks: rollbacks + 1, trouble: step };
}
