/**
 * @file `r1-searcher`: what the command line does, from your own program: train a recipe, evaluate, ask, pretrain.
 * Below that, the parts to train with an engine, a search or a reward of your own.
 */
export * from "./base/errors.ts";
export type { Tokenizer } from "./base/tokenizer.ts";
export { readQuestions } from "./data/benchmarks/read.ts";
export { type DrawOptions, evaluationMix, type QuestionMix, worldQuestions } from "./data/world/questions.ts";
export { makeWorld, type World, type WorldOptions } from "./data/world/world.ts";
export type * from "./engine/engine.ts";
export { type EvalReport, type EvalRow, type EvaluateOptions, evaluate, summarise } from "./eval/evaluate.ts";
export type { Question } from "./protocol/question.ts";
export {
  EstimatorConfig,
  KlConfig,
  LossConfig,
  OptimizerConfig,
  StageConfig,
  type TrainerConfig,
} from "./rl/config.ts";
export { type Curriculum, createCurriculum, listSource, type QuestionSource } from "./rl/curriculum.ts";
export type {
  Cursor,
  Evaluation,
  EvaluationRequest,
  Keeper,
  RolloutRequest,
  StepRecord,
  TrainerParts,
} from "./rl/parts.ts";
export { train } from "./rl/training-loop.ts";
export { type CollectOptions, collectGroups } from "./rollout/collect.ts";
export { RolloutConfig } from "./rollout/config.ts";
export type {
  Action,
  AttemptContext,
  Done,
  Environment,
  EnvironmentFactory,
  Failed,
  Observed,
  StepResult,
} from "./rollout/environment.ts";
export { type EpisodeOptions, type RolloutParts, runEpisode } from "./rollout/episode.ts";
export { type SearchEnvironmentOptions, searchEnvironment } from "./rollout/search-environment.ts";
export { type ActionRecord, failureOf, type SearchRecord, type Stop, type Trajectory } from "./rollout/trajectory.ts";
export { openEngine } from "./run/engines/open-engine.ts";
export type { OpenPolicy } from "./run/engines/open-policy.ts";
export { type AskOptions, type AskResult, runAsk } from "./run/evaluate/run-ask.ts";
export { type EvalOptions, runEval } from "./run/evaluate/run-eval.ts";
export { type ModelInfo, modelInfo } from "./run/policy/run-model-info.ts";
export { type PretrainOptions, runPretrain } from "./run/pretrain/run-pretrain.ts";
export { loadRecipe } from "./run/recipe/load-recipe.ts";
export { Recipe } from "./run/recipe/recipe.ts";
export type { EvalSummary } from "./run/store/evaluation.ts";
export type { TrainingEvent } from "./run/train/progress.ts";
export { runTraining, type TrainingOptions, type TrainingResult } from "./run/train/run-training.ts";
