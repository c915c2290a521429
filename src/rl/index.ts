/**
 * @file `r1-searcher/rl`: the parts of a training step, to write the loop yourself: from rewards to advantages, from
 * attempts to training sequences, the updates of a step, what a step measured, and the loop that `train` runs.
 */
export { type Advantages, type Attempt, compareSiblings, estimateAdvantages } from "./advantage.ts";
export { attemptsOf, type Groups, type KlOptions, type Rewards, scoredAttempts, survivorsOf } from "./attempts.ts";
export {
  type Batch,
  type BatchOptions,
  policyTokenCount,
  type ScoredAttempt,
  splitForUpdates,
  toBatch,
} from "./batch.ts";
export { EstimatorConfig, KlConfig, LossConfig, OptimizerConfig, StageConfig, type TrainerConfig } from "./config.ts";
export {
  type Curriculum,
  createCurriculum,
  listSource,
  type QuestionRequest,
  type QuestionSource,
  type Stage,
} from "./curriculum.ts";
export { alarms, type Metrics } from "./health.ts";
export { klMetrics, type ReferenceLogprobs, scoreByReference } from "./kl.ts";
export { type LearnOptions, learn, lossSpec } from "./learn.ts";
export { type Drift, drift } from "./loss.ts";
export { type AttemptRecord, stepMetrics, type UpdateReport, updateMetrics } from "./metrics.ts";
export {
  type Cursor,
  type Evaluation,
  type EvaluationRequest,
  firstCursor,
  type Keeper,
  type Outage,
  type RolloutRequest,
  type StepContext,
  type StepRecord,
  type Timing,
  type TrainerParts,
} from "./parts.ts";
export { rescore, type Scorer } from "./rescore.ts";
export { learningRateShare, type Schedule } from "./schedule.ts";
export { type Stopwatch, stopwatch } from "./stopwatch.ts";
export { type StepOutcome, trainStep } from "./trainer.ts";
export { train } from "./training-loop.ts";
