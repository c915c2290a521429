/** @file Which rules of a reward fire, over many attempts, and which of them only because of what search wrote. */
import { DataError } from "../base/errors.ts";
import type { RewardPart } from "../protocol/reward-part.ts";
import { isObservation } from "../protocol/transcript.ts";
import { rulesOf } from "./code/servers.ts";
import { spansOf, withoutDocuments } from "./code/spans.ts";
import { type RewardSpec, rewardPresets, type Scorable, scoreTrajectory } from "./stages.ts";

export interface RuleCount {
  readonly rule: string;
  /** Attempts in which it gave or took something. */
  readonly fired: number;
  /** Of those, attempts in which it would not have, had the documents said nothing. */
  readonly onDocumentsOnly: number;
}

export interface RuleReport {
  readonly n: number;
  readonly meanReward: number;
  /** Attempts from which at least one rule took something. */
  readonly penalised: number;
  /** Of those, attempts from which none would have, had the documents said nothing. */
  readonly penalisedOnDocumentsOnly: number;
  /** Also those that never fired. */
  readonly rules: readonly RuleCount[];
}

/** @throws DataError where there is no attempt */
export function countRules(attempts: readonly Scorable[], spec: RewardSpec): RuleReport {
  if (attempts.length === 0) throw new DataError("there are no attempts to score");
  const released = (typeof spec === "string" ? rewardPresets[spec] : spec).flatMap((rule) =>
    rule.rule === "released" ? rulesOf(rule.server) : [],
  );
  const counts = new Map(released.map((rule) => [rule, { fired: 0, onDocumentsOnly: 0 }]));
  let sum = 0;
  let penalised = 0;
  let penalisedOnDocumentsOnly = 0;
  for (const attempt of attempts) {
    const { total, parts } = scoreTrajectory(attempt, spec);
    const { parts: silent } = scoreTrajectory(withoutDocumentText(attempt), spec);
    const stillFired = new Set(silent.filter(hasFired).map(({ rule }) => rule));
    for (const part of parts) {
      const count = counts.get(part.rule) ?? { fired: 0, onDocumentsOnly: 0 };
      counts.set(part.rule, count);
      if (!hasFired(part)) continue;
      count.fired++;
      if (!stillFired.has(part.rule)) count.onDocumentsOnly++;
    }
    sum += total;
    if (parts.some(isPenalty)) {
      penalised++;
      if (!silent.some(isPenalty)) penalisedOnDocumentsOnly++;
    }
  }
  const rules = [...counts].map(([rule, count]) => ({ rule, ...count }));
  return { n: attempts.length, meanReward: sum / attempts.length, penalised, penalisedOnDocumentsOnly, rules };
}

const hasFired = ({ value, sharedWith }: RewardPart) => value !== 0 || sharedWith !== undefined;
const isPenalty = ({ value }: RewardPart) => value < 0;

/** The attempt, had search found passages that say nothing: in its parts as in its text. */
function withoutDocumentText(attempt: Scorable): Scorable {
  return {
    ...attempt,
    transcript: attempt.transcript.map((part) => (isObservation(part) ? { ...part, text: "(1) \n" } : part)),
    spans: withoutDocuments(attempt.spans ?? spansOf(attempt.transcript)),
  };
}
