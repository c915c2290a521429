import { gzipSync } from "node:zlib";
import { writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { forEachPolicyRun } from "../../rl/batch.ts";
import type { AttemptRecord } from "../../rl/metrics.ts";

/** One line per attempt, gzipped; equal attempts give equal bytes at any time and on any machine. */
export function writeTrajectories(file: string, attempts: readonly AttemptRecord[]): void {
  const zipped = gzipSync(attempts.map((attempt) => `${toJson(trajectoryLine(attempt))}\n`).join(""), { level: 6 });
  zipped.fill(0, 4, 8); // when it was made
  zipped[9] = 255; // on what system
  writeAtomically(file, zipped);
}

function trajectoryLine({ trajectory, reward, advantage, rewardFailure }: AttemptRecord) {
  const { question, sibling, tape, transcript, logprobs, searches, actions, rewards, stop } = trajectory;
  const policyLogprobs: (number | null)[] = [];
  forEachPolicyRun(tape, (from, to) => {
    for (let t = from; t < to; t++) policyLogprobs.push(compact(logprobs[t]!));
  });
  return {
    question,
    sibling,
    stop,
    tokens: Array.from(tape.tokens),
    runs: tape.runs.map(({ author, length }) => [author, length]),
    /** Of policy tokens only, in order. */
    logprobs: policyLogprobs,
    transcript,
    searches,
    ...(actions === undefined ? {} : { actions }),
    ...(rewards === undefined ? {} : { rewards }),
    ...(reward === undefined ? {} : { reward }),
    ...(advantage === undefined ? {} : { advantage }),
    ...(rewardFailure === undefined ? {} : { rewardFailure }),
  };
}

/** Nine digits represent every f32 exactly; JSON cannot represent values that are not finite. */
function compact(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(9)) : null;
}
