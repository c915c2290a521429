/** @file What `train` is given, what it reports meanwhile, and what it gives back. */
import type { Tokenizer } from "../../base/tokenizer.ts";
import type { Learner } from "../../engine/engine.ts";
import type { Passage } from "../../protocol/passage.ts";
import type { Question } from "../../protocol/question.ts";
import type { RewardFunction } from "../../reward/reward-function.ts";
import type { QuestionSource } from "../../rl/curriculum.ts";
import type { EnvironmentFactory } from "../../rollout/environment.ts";
import type { Trajectory } from "../../rollout/trajectory.ts";
import type { Searcher } from "../../search/searcher.ts";
import type { Recipe, RecipeInput } from "../recipe/recipe.ts";
import { type SuppliedPart, suppliedParts } from "../recipe/supplied-parts.ts";
import type { EvalSummary, ShownAttempt } from "../store/evaluation.ts";
import type { StepProgress, TrainingEvent } from "./progress.ts";

/**
 * Parts of a run as objects and functions. Each takes the place of what the recipe says of it. The run folder records
 * which were supplied, and a run is resumed with the same ones only.
 */
export interface SuppliedParts {
  /**
   * Answers every query, in training and in evaluations; `train` does not close it. The recipe's limits, budget and
   * files of search still hold. For a recipe over fictional worlds, a function that makes a searcher over the passages
   * of each world; what it makes, `train` closes.
   */
  readonly searcher?: Searcher | ((passages: readonly Passage[]) => Searcher | Promise<Searcher>);
  /** Scores the attempts of every stage, or of the stages that it names; the others keep the recipe's reward. */
  readonly reward?: RewardFunction<Trajectory> | Readonly<Record<string, RewardFunction<Trajectory>>>;
  /**
   * What the policy acts in, in place of search, with the tags of its actions. Needs questions that are not of the
   * fictional worlds. No run is stopped because its searches find nothing.
   */
  readonly environment?: EnvironmentFactory;
  /** Samples and learns in place of the embedded engine, from the weights that it has; `train` does not close it. */
  readonly learner?: Learner;
  /** The tokenizer of `learner`; default the one in the recipe's model folder. */
  readonly tokenizer?: Tokenizer;
  readonly questions?: SuppliedQuestions;
}

export interface SuppliedQuestions {
  /**
   * A list, which every stage asks in an order of its own, or a function that gives the questions of a step; the same
   * step must get the same questions again, or a resumed run differs.
   */
  readonly train: readonly Question[] | QuestionSource;
  /** Asked in evaluations, never trained on. */
  readonly heldOut: readonly Question[];
}

export interface TrainOptions extends SuppliedParts {
  /** The name of a recipe, the path of one, or its content; paths in an object start from the working directory. */
  readonly recipe: string | RecipeInput;
  /** `key=value` each, over what the recipe says, with dots between keys: what the command line calls `--set`. */
  readonly set?: readonly string[];
  /** Steps of every stage, over what the recipe says. */
  readonly steps?: number;
  /** The run folder; default runs/<recipe>. */
  readonly out?: string;
  /** Continues the run that lies in the folder; where there is none, starts it. Default false. */
  readonly resume?: boolean;
  /** When it is raised the run saves its state and ends. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainingEvent) => void;
}

export interface TrainingResult {
  /** The run folder. */
  readonly run: string;
  readonly seconds: number;
  /** Where it searched, as the recipe says. */
  readonly search: Recipe["search"];
  /** Those of the base policy and of stage ends. */
  readonly evals: readonly EvalSummary[];
  /** Every step of the run, those before a resume included. */
  readonly history: readonly Pick<StepProgress, "step" | "stage" | "reward" | "f1" | "searchRate">[];
  /** The same question before and after. */
  readonly example?: { readonly before: ShownAttempt; readonly after: ShownAttempt };
}

/** The names of what was supplied, in a fixed order. */
export function suppliedNames(parts: SuppliedParts): readonly SuppliedPart[] {
  return suppliedParts.filter((part) => (parts as Readonly<Record<string, unknown>>)[part] !== undefined);
}
