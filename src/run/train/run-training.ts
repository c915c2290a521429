/** @file A run from its recipe to its last checkpoint: opens everything, trains, and reports to whoever watches. */
import { join, resolve } from "node:path";
import type { Learner } from "../../engine/engine.ts";
import type { Question } from "../../protocol/question.ts";
import { promptTokens } from "../../protocol/tape.ts";
import { rewardFromRules } from "../../reward/reward-function.ts";
import { createCurriculum } from "../../rl/curriculum.ts";
import type { TrainerParts } from "../../rl/parts.ts";
import { train } from "../../rl/training-loop.ts";
import { searchEnvironment } from "../../rollout/search-environment.ts";
import { openEngine } from "../engines/open-engine.ts";
import type { OpenOptions, OpenPolicy } from "../engines/open-policy.ts";
import { writeModelCard } from "../policy/model-card.ts";
import { runCard } from "../policy/run-card.ts";
import { loadRecipe } from "../recipe/load-recipe.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { EvalSummary, ShownAttempt } from "../store/evaluation.ts";
import { openRun, type RunFolder } from "../store/run-folder.ts";
import { runKeeper } from "../store/run-keeper.ts";
import { evaluateOrWait } from "./evaluate-or-wait.ts";
import { type StepProgress, stepReporter, type TrainingEvent } from "./progress.ts";
import { rolloutStep } from "./rollout-step.ts";
import { trainerConfig } from "./trainer-config.ts";
import { openQuestions, questionSource, type TrainingData } from "./training-data.ts";
import { waitForSearch } from "./wait-out.ts";

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

export interface TrainingResult {
  /** The run folder. */
  readonly run: string;
  readonly seconds: number;
  /** Where it searched. */
  readonly search: Recipe["search"];
  readonly evals: readonly EvalSummary[];
  /** Every step of the run, those before a resume included. */
  readonly history: readonly Pick<StepProgress, "step" | "stage" | "reward" | "f1" | "searchRate">[];
  /** The same question before and after. */
  readonly example?: { readonly before: ShownAttempt; readonly after: ShownAttempt };
}

/** @throws InterruptedError after saving, where the signal was raised */
export async function runTraining(options: TrainingOptions): Promise<TrainingResult> {
  const began = performance.now();
  const recipe = withSteps(loadRecipe(options.recipe, options.overrides), options.stepsPerStage);
  const data = await openQuestions(recipe);
  const folder = openRun(resolve(options.out ?? join("runs", recipe.name)), { recipe, resume: options.resume });
  try {
    const policy = await openStart(recipe, { training: true, concurrency: recipe.rolloutBatch.concurrency });
    options.onEvent?.({ kind: "message", text: policy.describe() });
    try {
      const isHeld = recipe.kl !== undefined && recipe.kl.kind !== "off";
      const reference = isHeld ? await policy.reference?.() : undefined;
      await trainOpened({ recipe, data, folder, policy, reference, options });
      return {
        run: folder.directory,
        seconds: (performance.now() - began) / 1000,
        search: recipe.search,
        ...reportOf(folder),
      };
    } finally {
      await policy.close();
    }
  } finally {
    folder.close();
    await data.close();
  }
}

function learnerOf({ learner }: OpenPolicy): Learner {
  if (learner === undefined) throw new Error("the policy was opened for training, but its engine does not learn");
  return learner;
}

/** The policy that the run starts from. */
export function openStart(recipe: Recipe, how: Pick<OpenOptions, "training" | "concurrency">): Promise<OpenPolicy> {
  const { model, lora, seed, engine, protocol, prompt, promptFile, rollout } = recipe;
  return openEngine(model, {
    ...how,
    engine,
    lora: lora && { ...lora, seed },
    settings: { protocol, prompt, promptFile, rollout },
  });
}

function withSteps(recipe: Recipe, steps: number | undefined): Recipe {
  return steps === undefined ? recipe : { ...recipe, stages: recipe.stages.map((stage) => ({ ...stage, steps })) };
}

interface OpenedRun {
  readonly recipe: Recipe;
  readonly data: TrainingData;
  readonly folder: RunFolder;
  readonly policy: OpenPolicy;
  /** The policy as it started, where KL holds the run near it: a frozen copy, or the model below an adapter. */
  readonly reference: TrainerParts["reference"];
  readonly options: TrainingOptions;
}

async function trainOpened(run: OpenedRun): Promise<void> {
  const { recipe, data, policy, reference, options } = run;
  const tell = (event: TrainingEvent) => options.onEvent?.(event);
  const warn = (text: string) => tell({ kind: "message", text });
  const curriculum = createCurriculum(recipe.stages, {
    batch: recipe.rolloutBatch.questions,
    source: questionSource(recipe, data),
  });
  const keeper = keeperOf(run, warn);
  const { cursor, saved } = await keeper.resume();
  const report = stepReporter({ firstStep: cursor.step, steps: curriculum.steps, tell });
  const { searcher } = data.search;
  const environment = searchEnvironment({ searcher, protocol: policy.protocol, config: policy.rollout });
  const waitOut = waitForSearch(data.search, warn);
  const evaluation = { recipe, policy, benchmarks: data.benchmarks, folder: run.folder, tell, waitOut };
  const parts: TrainerParts = {
    curriculum,
    learner: learnerOf(policy),
    config: trainerConfig(recipe),
    ...(reference ? { reference } : {}),
    keeper: {
      ...keeper,
      record: async (record) => {
        await keeper.record({ ...record, timing: { ...record.timing, ...data.search.timing() } });
        report(record);
      },
    },
    rollOut: rolloutStep({ recipe, policy, environment }),
    promptOf: ({ tape }) => policy.tokenizer.decode(promptTokens(tape)),
    score: (trajectory, stage, signal) => rewardFromRules(stage.reward)(trajectory, signal),
    searchFinds: (questions) => searchFinds(questions, run),
    evaluate: (request) => evaluateOrWait(evaluation, request),
    ...(waitOut ? { waitOut } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  };
  await train(parts, cursor, saved);
}

/** Keeps records and checkpoints in the run folder; each checkpoint describes itself in a model card. */
function keeperOf({ recipe, folder, policy }: OpenedRun, warn: (text: string) => void) {
  const describe = (directory: string, step: number) => {
    const facts = { recipe, evaluations: folder.evaluations(), metrics: folder.metrics(), step };
    writeModelCard(directory, runCard({ ...facts, measured: false, isAdapter: recipe.lora !== undefined }));
  };
  return runKeeper({ folder, learner: learnerOf(policy), keep: recipe.checkpoint.keep, warn, describe });
}

/** Whether search finds anything for the questions themselves. */
async function searchFinds(questions: readonly Question[], { data, policy }: OpenedRun): Promise<boolean> {
  const texts = questions.map(({ text }) => text);
  const results = await data.search.searcher.search(texts, { k: policy.rollout.k });
  return results.some((result) => result.ok && result.hits.length > 0);
}

function reportOf(folder: RunFolder): Pick<TrainingResult, "evals" | "history" | "example"> {
  const number = (value: number | string | undefined) => (typeof value === "number" ? value : 0);
  const history = folder
    .metrics()
    .filter(({ stage }) => stage !== undefined)
    .map((line) => ({
      step: line.step + 1,
      stage: line.stage!,
      reward: number(line["reward/total"]),
      f1: number(line["answer/f1"]),
      searchRate: number(line["search/rate"]),
    }));
  const full = folder.evaluations().filter(({ scope }) => scope === "full");
  const [before, after] = [full[0]?.example, full.at(-1)?.example];
  return {
    evals: full.map(({ summary }) => summary),
    history,
    ...(before && after && full.length > 1 ? { example: { before, after } } : {}),
  };
}
