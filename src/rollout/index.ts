/**
 * @file `r1-searcher/rollout`: attempts. One attempt at a question, the siblings of a question, or many questions at
 * once, with a sampler and a searcher of your choice. Every token of an attempt is recorded with its author.
 */
export { type CollectOptions, collectGroups } from "./collect.ts";
export { RolloutConfig } from "./config.ts";
export type {
  Action,
  AttemptContext,
  Done,
  Environment,
  EnvironmentFactory,
  Failed,
  Observed,
  StepResult,
} from "./environment.ts";
export { type EpisodeOptions, type RolloutParts, runEpisode } from "./episode.ts";
export { type GroupOptions, runGroup } from "./group.ts";
export { type SearchEnvironmentOptions, searchEnvironment } from "./search-environment.ts";
export { type ActionRecord, failureOf, type SearchRecord, type Stop, type Trajectory } from "./trajectory.ts";
