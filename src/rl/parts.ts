/** @file What the training loop is given. Every part can be a fake; nothing here names a concrete engine or searcher. */
import type { Learner, Sampler } from "../engine/engine.ts";
import type { Question } from "../protocol/question.ts";
import type { Reward } from "../reward/reward.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import type { TrainerConfig } from "./config.ts";
import type { Curriculum, Stage } from "./curriculum.ts";
import type { Metrics } from "./health.ts";
import type { AttemptRecord } from "./metrics.ts";
import type { Scorer } from "./rescore.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** Where a run stands. Everything else follows from it and the recipe, since randomness is keyed. */
export interface Cursor {
  /** The next step to run: how many steps the policy has seen. */
  readonly step: number;
  /** Updates refused in a row. */
  readonly refused: number;
  /** Times the run went back to a checkpoint and has not yet got past `trouble`. */
  readonly rollbacks: number;
  /** The step at which updates were last refused until the run went back. */
  readonly trouble: number;
  readonly best?: { readonly step: number; readonly score: number };
}

export const firstCursor: Cursor = { step: 0, refused: 0, rollbacks: 0, trouble: -1 };

export interface RolloutRequest {
  readonly step: number;
  /** Number within the run of the first question. */
  readonly firstQuestion: number;
  readonly sampler: Sampler;
  /** How often the run went back over this step; other draws are wanted each time. */
  readonly rollbacks: number;
  readonly signal: AbortSignal;
}

export interface EvaluationRequest {
  /** The policy that `step` steps have made. */
  readonly step: number;
  /** "base", the name of the stage that ends here, or "step-000050". */
  readonly checkpoint: string;
  /** "full" at base and stage ends, "curve" at these and in between. */
  readonly scope: "curve" | "full";
  readonly sampler: Sampler;
  readonly signal: AbortSignal;
}

export interface Evaluation {
  /** What "best" means; compared within one scope only. */
  readonly score: number;
  /** Under slash-grouped names, such as eval/em. */
  readonly metrics: Metrics;
}

/** Seconds by phase, and what else differs between two identical runs. */
export type Timing = Readonly<Record<string, number>>;

/** One line of the metrics: of the policy that `step` steps have made, and of the step it then took. */
export interface StepRecord {
  readonly step: number;
  /** Absent after the last step, where only the evaluation is left. */
  readonly stage?: string;
  readonly metrics: Metrics;
  readonly timing: Timing;
  readonly attempts: readonly AttemptRecord[];
}

/** What keeps the run. */
export interface Keeper {
  record(record: StepRecord): Promise<void>;
  /** @param pinned steps whose checkpoints are kept whatever their age */
  save(cursor: Cursor, pinned: readonly number[]): Promise<void>;
  /** Restores the learner from the newest good checkpoint, drops records of later steps, and says where it stands. */
  rollBack(): Promise<Cursor>;
}

/** What one step is made with. */
export interface StepContext {
  readonly cursor: Cursor;
  readonly sampler: Sampler;
  readonly clock: Stopwatch;
  readonly signal: AbortSignal;
}

export interface Outage {
  readonly step: number;
  readonly failed: number;
  readonly attempts: number;
  /** 1 at first, and one more each time the same step fails again. */
  readonly times: number;
  readonly because: string;
}

export interface TrainerParts {
  readonly curriculum: Curriculum;
  readonly learner: Learner;
  readonly keeper: Keeper;
  readonly config: TrainerConfig;
  /** The policy that the run started with, frozen; needed where `config.kl` is on. */
  readonly reference?: Scorer;
  /** [B][G] in the order of the questions; failed attempts stay among them. */
  rollOut(questions: readonly Question[], request: RolloutRequest): Promise<readonly (readonly Trajectory[])[]>;
  /**
   * Scores one attempt; never asked about one that the environment failed. Where it resolves to undefined or throws a
   * RewardError, the attempt counts as failed; any other error ends the run. The signal is raised when the result is no
   * longer wanted.
   */
  score(trajectory: Trajectory, stage: Stage, signal: AbortSignal): Promise<Reward | undefined> | Reward | undefined;
  /** Attempts that are scored at once; default 16. */
  readonly rewardConcurrency?: number;
  /** The text that an attempt began with, for gauges; without it no query counts as copied from there. */
  promptOf?(trajectory: Trajectory): string;
  evaluate?(request: EvaluationRequest): Promise<Evaluation>;
  /** Resolves when the step should be tried again. Without it an outage ends the run. */
  waitOut?(outage: Outage, signal: AbortSignal): Promise<void>;
  /** Whether search finds anything for these questions. Asked before a run stops because its searches find nothing. */
  searchFinds?(questions: readonly Question[]): Promise<boolean>;
  /** Seconds; only for timing. */
  now?(): number;
  readonly signal?: AbortSignal;
}
