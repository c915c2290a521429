/** @file What a watcher of a run is told while it goes on. */
import { alarms } from "../../rl/health.ts";
import type { StepRecord } from "../../rl/parts.ts";
import type { EvalSummary } from "../store/evaluation.ts";

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

export interface ProgressOptions {
  /** The first step that this process makes, from 0. */
  readonly firstStep: number;
  /** Of all stages together. */
  readonly steps: number;
  readonly tell: (event: TrainingEvent) => void;
}

/** @returns tells of each step, and of an alarm in the step where it begins */
export function stepReporter({ firstStep, steps, tell }: ProgressOptions): (record: StepRecord) => void {
  const began = performance.now();
  let raisedBefore: readonly string[] = [];
  return ({ step, stage, metrics, timing }) => {
    if (stage === undefined) return;
    const secondsPerStep = (performance.now() - began) / 1000 / (step + 1 - firstStep);
    tell({
      kind: "step",
      step: step + 1,
      steps,
      stage,
      etaSeconds: secondsPerStep * (steps - step - 1),
      reward: metrics["reward/total"] ?? 0,
      f1: metrics["answer/f1"] ?? 0,
      searchRate: metrics["search/rate"] ?? 0,
      entropy: metrics["policy/entropy"] ?? 0,
      tokensPerSecond: (metrics["policy/tokens"] ?? 0) / (timing["sample"] ?? 1),
    });
    const raised = alarms(metrics);
    for (const text of raised.filter((one) => !raisedBefore.includes(one)))
      tell({ kind: "message", text: `step ${step + 1}: ${text}` });
    raisedBefore = raised;
  };
}
