/**
 * @file `r1-searcher/reward`: score answers and attempts. The published metrics on any prediction, the format rules,
 * and the rewards of each stage with the reason for every part; also on the flat texts of other programs.
 */

export { RewardError } from "../base/errors.ts";
export type { RewardPart } from "../protocol/reward-part.ts";
export type { TextSpan } from "./code/spans.ts";
export { answerOf, type FormatFault, type FormatRule, type FormatVerdict, formatVerdict } from "./format.ts";
export { type ImportedAttempt, type ImportedText, importFlat, importRow } from "./import-flat.ts";
export { coverEm, coverEm2, exactMatch, f1 } from "./metrics.ts";
export type { Reward } from "./reward.ts";
export { type RewardFunction, rewardFromRules } from "./reward-function.ts";
export { countRules, type RuleCount, type RuleReport } from "./rule-counts.ts";
export { type ScoreRow, type Scores, scoreRow, scoreRows } from "./score.ts";
export {
  type RewardPreset,
  type RewardRule,
  RewardSpec,
  rewardPresets,
  type Scorable,
  scoreTrajectory,
} from "./stages.ts";
export { normalise } from "./text.ts";
