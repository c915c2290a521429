/**
 * @file `r1-searcher`: what the command line does, from your own program. Train a recipe with parts of your own, look
 * into runs, open a policy, evaluate, ask. The subpaths have what these are made of: `r1-searcher/rl` and
 * `r1-searcher/rollout` to write the training loop yourself, `/engine`, `/search`, `/reward`, `/protocol` and `/testing`.
 */
export * from "./base/errors.ts";
export type { Tokenizer } from "./base/tokenizer.ts";
export { readQuestions } from "./data/benchmarks/read.ts";
export { type DrawOptions, evaluationMix, type QuestionMix, worldQuestions } from "./data/world/questions.ts";
export { makeWorld, type World, type WorldOptions } from "./data/world/world.ts";
export { type EvalReport, type EvalRow, type EvaluateOptions, evaluate as evaluateQuestions } from "./eval/evaluate.ts";
export type { Passage } from "./protocol/passage.ts";
export type { Question } from "./protocol/question.ts";
export type { EnvironmentFactory } from "./rollout/environment.ts";
export type { Trajectory } from "./rollout/trajectory.ts";
export { openPolicy } from "./run/engines/open-engine.ts";
export type { OpenOptions, OpenPolicy } from "./run/engines/open-policy.ts";
export { bundled as bundledModel } from "./run/engines/open-policy.ts";
export { type AskOptions, type AskResult, runAsk as ask } from "./run/evaluate/run-ask.ts";
export { type EvalOptions, runEval as evaluate } from "./run/evaluate/run-eval.ts";
export { type ModelInfo, modelInfo } from "./run/policy/run-model-info.ts";
export { type PretrainOptions, runPretrain as pretrain } from "./run/pretrain/run-pretrain.ts";
export { loadRecipe } from "./run/recipe/load-recipe.ts";
export { Recipe, type RecipeInput } from "./run/recipe/recipe.ts";
export type { SuppliedPart } from "./run/recipe/supplied-parts.ts";
export type { EvalSummary, ShownAttempt } from "./run/store/evaluation.ts";
export { openRun, type Run } from "./run/store/read-run.ts";
export type { SavedEvaluation, StepLine } from "./run/store/run-folder.ts";
export type { SavedAttempt } from "./run/store/trajectory-file.ts";
export type { StepProgress, TrainingEvent } from "./run/train/progress.ts";
export { runTraining as train } from "./run/train/run-training.ts";
export type { SuppliedParts, SuppliedQuestions, TrainingResult, TrainOptions } from "./run/train/train-options.ts";
