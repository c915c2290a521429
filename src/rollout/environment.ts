/**
 * @file What the policy acts in. The loop of an attempt (`episode.ts`) owns the tape, the sampling and the budgets; an
 * environment receives the text of each action and returns text. Search is one environment among others.
 */
import type { SampleKey } from "../engine/engine.ts";
import type { Segment } from "../protocol/documents.ts";
import type { Protocol } from "../protocol/protocol.ts";
import type { Question } from "../protocol/question.ts";
import type { RewardPart } from "../protocol/reward-part.ts";
import type { EnvironmentAuthor } from "../protocol/tape.ts";
import type { SearchRecord, Stop } from "./trajectory.ts";

/** Makes an environment for every attempt; attempts run concurrently and share nothing but what the factory holds. */
export interface EnvironmentFactory {
  /** The tags of the actions that are served. A closed action ends the policy's turn; a closed answer ends the attempt. */
  readonly protocol: Protocol;
  open(): Environment;
}

/**
 * One attempt's environment. The calls come one after another: `reset`, then `step` for each action, then `close`.
 * A method that throws is a mistake in its code and ends the run; what may fail (a server, a file) is returned as
 * "failed". Where the signal is raised, a method rejects soon, with any error.
 */
export interface Environment {
  /** Begins the attempt. What it returns is shown to the policy after the prompt; undefined shows nothing. */
  reset(question: Question, context: AttemptContext): Promise<Observed | Failed | undefined>;
  step(action: Action, context: AttemptContext): Promise<StepResult>;
  /** After the attempt, however it ended: also where it was aborted or failed. */
  close?(): Promise<void>;
}

export interface AttemptContext {
  /** What every draw of the attempt must depend on, for an environment that draws (`randomOf` of the key). */
  readonly key: Omit<SampleKey, "turn">;
  readonly signal: AbortSignal;
}

/** What the policy wrote between the tags of an action. */
export interface Action {
  /** "query", or the kind of one of the protocol's `actions`. */
  readonly kind: string;
  /** As it was written, blanks included. */
  readonly text: string;
}

export type StepResult = Observed | Done | Failed;

/** Text for the policy; it writes on after it. */
export interface Observed {
  readonly kind: "observation";
  /** "tool", or "search" where documents were searched for. */
  readonly author: EnvironmentAuthor;
  /**
   * Only text of the program's own may be marked as `template`; all other text is put on the tape without special
   * tokens and without tags of the protocol. `observationBlock` makes the usual segments.
   */
  readonly segments: readonly Segment[];
  readonly rewards?: readonly RewardPart[];
  /** What was searched for and found, where the action was a search. */
  readonly search?: Pick<SearchRecord, "query" | "passageIds">;
}

/** The attempt ends here. */
export interface Done {
  readonly kind: "done";
  readonly rewards?: readonly RewardPart[];
  /** Why the action was not served; absent where it was, and nothing is left to do. */
  readonly refused?: Extract<Stop, "search-budget" | "empty-query">;
}

/** The attempt ends here through no fault of the policy: it is counted, and left out of rewards and of learning. */
export interface Failed {
  readonly kind: "failed";
  readonly error: string;
  readonly search?: Pick<SearchRecord, "query" | "passageIds">;
}
