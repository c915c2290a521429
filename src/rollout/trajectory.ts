import type { Question } from "../protocol/question.ts";
import type { RewardPart } from "../protocol/reward-part.ts";
import type { Tape } from "../protocol/tape.ts";
import type { Part } from "../protocol/transcript.ts";

/** How an attempt ended. The last one is left out of everything but the count. */
export type Stop =
  | "answered" // the answer was closed
  | "ended" // the policy ended its reply without a closed answer
  | "token-budget"
  | "search-budget" // one query more than it may ask
  | "context-full"
  | "empty-query"
  | "environment-done" // the environment ended it
  | "environment-failed";

export interface SearchRecord {
  readonly query: string;
  readonly passageIds: readonly string[];
  /** Index of the "documents" part it became; undefined where search failed. */
  readonly part?: number;
  readonly error?: string;
}

/** An action that the environment served, or failed to, other than a search. */
export interface ActionRecord {
  /** "query" or the name of an action of the protocol; "reset" where the attempt could not begin. */
  readonly kind: string;
  readonly text: string;
  /** Index of the "observation" part that answered it; undefined where there was none. */
  readonly part?: number;
  readonly error?: string;
}

/** One attempt at one question. */
export interface Trajectory {
  readonly question: Question;
  readonly sibling: number;
  readonly tape: Tape;
  readonly transcript: readonly Part[];
  /** [T]; 0 where the policy did not write. */
  readonly logprobs: Float32Array;
  readonly searches: readonly SearchRecord[];
  /** What was done besides searching; absent where nothing was. */
  readonly actions?: readonly ActionRecord[];
  /** What the environment gave while the attempt ran; absent where it gave nothing. */
  readonly rewards?: readonly RewardPart[];
  readonly stop: Stop;
  /** The oldest that wrote any of it: it decides how stale the attempt is. */
  readonly policyVersion: number;
  /** The version that wrote each turn, in order; a turn that was sampled in parts counts by its oldest. */
  readonly policyVersions?: readonly number[];
}

/** Why the environment failed the attempt; undefined where it did not. */
export function failureOf({ searches, actions = [] }: Pick<Trajectory, "searches" | "actions">): string | undefined {
  return [...searches, ...actions].find(({ error }) => error !== undefined)?.error;
}
