import { readFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import { DataError, messageOf } from "../../base/errors.ts";
import { writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import type { Author } from "../../protocol/tape.ts";
import { forEachPolicyRun } from "../../rl/batch.ts";
import type { AttemptRecord } from "../../rl/metrics.ts";
import type { Trajectory } from "../../rollout/trajectory.ts";

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

/** An attempt as a run keeps it: without the policy version, which differs after a resume. */
export interface SavedAttempt extends Omit<AttemptRecord, "trajectory"> {
  readonly trajectory: Omit<Trajectory, "policyVersion">;
}

/** @throws DataError where the file is not one that `writeTrajectories` wrote */
export function readTrajectories(file: string): SavedAttempt[] {
  try {
    const lines = gunzipSync(readFileSync(file)).toString("utf8").split("\n").slice(0, -1);
    return lines.map((line) => savedAttempt(JSON.parse(line)));
  } catch (cause) {
    throw new DataError(`${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function savedAttempt({
  tokens,
  runs,
  logprobs,
  reward,
  advantage,
  ...rest
}: ReturnType<typeof trajectoryLine>): SavedAttempt {
  const tape = {
    tokens: Int32Array.from(tokens),
    runs: runs.map((run) => ({ author: run[0] as Author, length: run[1] as number })),
  };
  const aligned = new Float32Array(tokens.length); // 0 where the policy did not write
  forEachPolicyRun(tape, (from, to, nth) => {
    for (let t = from; t < to; t++) aligned[t] = logprobs[nth + t - from] ?? Number.NaN;
  });
  return { trajectory: { ...rest, tape, logprobs: aligned }, reward, advantage };
}
