/** @file What others than the sampler say of the tokens that were sampled: a frozen reference, or the learner itself. */
import { EngineError } from "../base/errors.ts";
import type { Learner } from "../engine/engine.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import { forEachPolicyRun } from "./batch.ts";

export type Scorer = Pick<Learner, "logprobs">;

/**
 * @param who is named in errors
 * @returns log-probabilities laid out as those of the sampler: position t is that of token t, 0 where it is not the policy's
 * @throws EngineError on one that is not finite: weights that are finite give none
 */
export async function rescore(
  trajectories: readonly Trajectory[],
  scorer: Scorer,
  who: string,
): Promise<readonly Float32Array[]> {
  const rows = await scorer.logprobs(trajectories.map(({ tape }) => tape.tokens));
  return trajectories.map(({ tape, question }, i) => {
    const aligned = new Float32Array(tape.tokens.length);
    forEachPolicyRun(tape, (from, to) => {
      for (let t = from; t < to; t++) {
        const logprob = rows[i]![t - 1]!;
        if (!Number.isFinite(logprob)) {
          throw new EngineError(`${who} gives token ${t} of an attempt at question ${question.id} ${logprob}`, {
            hint: "its weights are broken; run `r1-searcher doctor`",
          });
        }
        aligned[t] = logprob;
      }
    });
    return aligned;
  });
}
