/** @file What others than the sampler say of the tokens of attempts: a frozen reference, or the learner itself. */
import { EngineError } from "../base/errors.ts";
import type { Learner } from "../engine/engine.ts";
import type { Author } from "../protocol/tape.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import { forEachRun } from "./batch.ts";

export type Scorer = Pick<Learner, "logprobs">;

/**
 * @param who is named in errors
 * @param authors whose tokens are asked about
 * @returns log-probabilities laid out as those of the sampler: position t is that of token t, 0 where another wrote it
 * @throws EngineError on one that is not finite: weights that are finite give none
 */
export async function rescore(
  trajectories: readonly Trajectory[],
  scorer: Scorer,
  who: string,
  authors: readonly Author[] = ["policy"],
): Promise<readonly Float32Array[]> {
  const rows = await scorer.logprobs(trajectories.map(({ tape }) => tape.tokens));
  return trajectories.map(({ tape, question }, i) => {
    const aligned = new Float32Array(tape.tokens.length);
    const copy = (from: number, to: number) => {
      for (let t = from; t < to; t++) {
        const logprob = rows[i]![t - 1]!;
        if (!Number.isFinite(logprob)) {
          throw new EngineError(`${who} gives token ${t} of an attempt at question ${question.id} ${logprob}`, {
            hint: "its weights are broken; run `r1-searcher doctor`",
          });
        }
        aligned[t] = logprob;
      }
    };
    for (const author of authors) forEachRun(tape, author, copy);
    return aligned;
  });
}
