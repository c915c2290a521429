import { ConfigError } from "../base/errors.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import type { EvalSummary } from "./run-eval.ts";

export interface TrainingOptions {
  /** The name of a recipe or the path of one. */
  readonly recipe: string;
  /** `key=value`, each over what the recipe says. */
  readonly overrides: readonly string[];
  /** Steps of every stage, over what the recipe says. */
  readonly stepsPerStage?: number;
  /** The run folder; default runs/<recipe>. */
  readonly out?: string;
  readonly resume: boolean;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainingEvent) => void;
}

/** What a watcher may show of one step. */
export interface StepProgress {
  /** From 1, over all stages. */
  readonly step: number;
  readonly steps: number;
  readonly stage: string;
  readonly etaSeconds: number;
  /** Means over the attempts of the step. */
  readonly reward: number;
  readonly f1: number;
  /** Share of attempts that searched at least once. */
  readonly searchRate: number;
  /** Nats per token of the policy. */
  readonly entropy: number;
  /** Sampled by the policy. */
  readonly tokensPerSecond: number;
}

export type TrainingEvent =
  | { readonly kind: "message"; readonly text: string }
  | ({ readonly kind: "step" } & StepProgress)
  | { readonly kind: "eval"; readonly summary: EvalSummary };

/** An attempt with what reads its tokens aloud. */
export interface ShownTrajectory {
  readonly trajectory: Trajectory;
  readonly decode: (ids: ArrayLike<number>) => string;
}

export interface TrainingResult {
  /** The run folder. */
  readonly run: string;
  readonly seconds: number;
  readonly evals: readonly EvalSummary[];
  /** Every step of the run, those before a resume included. */
  readonly history: readonly Pick<StepProgress, "step" | "stage" | "reward" | "f1" | "searchRate">[];
  /** The same question before and after. */
  readonly example?: { readonly before: ShownTrajectory; readonly after: ShownTrajectory };
}

/** @throws InterruptedError after saving, where the signal was raised */
export async function runTraining(_options: TrainingOptions): Promise<TrainingResult> {
  throw new ConfigError("train is not built yet");
}
