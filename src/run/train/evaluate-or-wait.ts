/** @file Evaluations between two training steps: measured, kept in the run folder, and measured again after an outage. */
import { SearchError } from "../../base/errors.ts";
import { isOutage } from "../../rl/health.ts";
import type { Evaluation, EvaluationRequest, TrainerParts } from "../../rl/parts.ts";
import { firstFailure } from "../../rl/rollout-or-wait.ts";
import type { TrainedPolicy } from "../engines/supplied-learner.ts";
import { evaluatePolicy, type PolicyEvaluation, showAttempt } from "../evaluate/run-eval.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { RunFolder } from "../store/run-folder.ts";
import type { TrainingEvent } from "./progress.ts";
import type { TrainingData } from "./training-data.ts";

export interface EvaluationParts {
  readonly recipe: Recipe;
  readonly policy: TrainedPolicy;
  readonly benchmarks: TrainingData["benchmarks"];
  readonly folder: RunFolder;
  readonly tell: (event: TrainingEvent) => void;
  /** Resolves when search is back; undefined where search cannot be away. */
  readonly waitOut: TrainerParts["waitOut"];
}

/** Measures the policy by every way of decoding that the recipe names; the first one's EM is the score. */
export async function evaluateOrWait(parts: EvaluationParts, request: EvaluationRequest): Promise<Evaluation> {
  const { step, checkpoint, scope } = request;
  const { recipe, folder, policy, tell } = parts;
  const { decode } = recipe.eval[scope];
  let score = 0;
  const metrics: Record<string, number> = {};
  for (const how of decode) {
    const { summary, results, trajectories } = await measureOrWait(how, parts, request);
    const named = { checkpoint, decode: how, ...summary };
    const shown = trajectories.find(({ question }) => question.type === "2-hop") ?? trajectories[0];
    const example = shown && showAttempt(shown, policy.tokenizer);
    folder.saveEvaluation(`${checkpoint}--${scope}-${how}`, { step, scope, summary: named, example }, results);
    metrics[`eval/${scope}/${how}/em`] = summary.em;
    metrics[`eval/${scope}/${how}/search_rate`] = summary.searchRate;
    if (how === decode[0]) score = summary.em;
    if (scope === "full") tell({ kind: "eval", summary: named });
  }
  return { score, metrics };
}

/** Repeats a measurement that an outage of search spoilt: the questions that it left over are no fair sample. */
async function measureOrWait(
  decode: "greedy" | "sampled",
  { recipe, policy, benchmarks, waitOut }: EvaluationParts,
  { step, scope, sampler, signal }: EvaluationRequest,
): Promise<PolicyEvaluation> {
  const asked = benchmarks[scope];
  const attempts = asked.reduce((sum, { questions }) => sum + questions.length, 0);
  for (let times = 1; ; times++) {
    let failed = attempts;
    let because = "search failed in every attempt";
    try {
      const measured = await evaluatePolicy(policy, asked, { decode, seed: recipe.seed, sampler, signal });
      if (!waitOut || !isOutage(measured.trajectories, times)) return measured;
      failed = measured.summary.failed;
      because = firstFailure(measured.trajectories) ?? because;
    } catch (cause) {
      if (!waitOut || !(cause instanceof SearchError)) throw cause;
    }
    await waitOut({ step, failed, attempts, times, because }, signal);
  }
}
