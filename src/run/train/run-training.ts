/** @file A run from its recipe to its last checkpoint: opens everything, trains, and reports to whoever watches. */
import { join, resolve } from "node:path";
import { ConfigError } from "../../base/errors.ts";
import type { Learner } from "../../engine/engine.ts";
import type { Question } from "../../protocol/question.ts";
import { promptTokens } from "../../protocol/tape.ts";
import { rewardFromRules } from "../../reward/reward-function.ts";
import { createCurriculum } from "../../rl/curriculum.ts";
import type { TrainerParts } from "../../rl/parts.ts";
import { train } from "../../rl/training-loop.ts";
import { searchEnvironment } from "../../rollout/search-environment.ts";
import { capabilitiesOf, demandCapabilities } from "../engines/capabilities.ts";
import type { OpenPolicy } from "../engines/open-policy.ts";
import { writeModelCard } from "../policy/model-card.ts";
import { runCard } from "../policy/run-card.ts";
import { loadRecipe } from "../recipe/load-recipe.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { openRunFolder, type RunFolder } from "../store/run-folder.ts";
import { runKeeper } from "../store/run-keeper.ts";
import { evaluateOrWait } from "./evaluate-or-wait.ts";
import { stepReporter, type TrainingEvent } from "./progress.ts";
import { rolloutStep } from "./rollout-step.ts";
import { startPolicy } from "./start-policy.ts";
import { type SuppliedParts, suppliedNames, type TrainingResult, type TrainOptions } from "./train-options.ts";
import { trainerConfig } from "./trainer-config.ts";
import { openQuestions, questionSource, type TrainingData } from "./training-data.ts";
import { waitForSearch } from "./wait-out.ts";

/**
 * Trains a recipe from its first step, or from where an earlier run in the same folder stopped, to its last.
 *
 * @throws ConfigError before anything is written, where recipe, folder or supplied parts do not fit
 * @throws InterruptedError after saving, where the signal was raised; call it again with `resume` to go on
 */
export async function runTraining(options: TrainOptions): Promise<TrainingResult> {
  const began = performance.now();
  const supplied = suppliedNames(options);
  const recipe = withSteps(loadRecipe(options.recipe, options.set, supplied), options.steps);
  demandCapabilities(
    recipe,
    options.learner?.capabilities ?? capabilitiesOf(recipe.engine.kind),
    `recipe ${recipe.name}`,
  );
  const score = scorerOf(options.reward, recipe);
  const data = await openQuestions(recipe, options);
  const directory = resolve(options.out ?? join("runs", recipe.name));
  const folder = openRunFolder(directory, { recipe, supplied, resume: options.resume ?? false });
  try {
    const policy = await startPolicy(recipe, options);
    options.onEvent?.({ kind: "message", text: policy.describe() });
    try {
      const usesReference = recipe.kl !== undefined && recipe.kl.kind !== "off";
      const reference = usesReference ? await policy.reference?.() : undefined;
      await trainOpened({ recipe, data, folder, policy, reference, score, options });
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

/** What the program gave, or else the rules of the stage. @throws ConfigError on a stage that the recipe does not have */
function scorerOf(reward: SuppliedParts["reward"], { stages }: Recipe): TrainerParts["score"] {
  const byStage = typeof reward === "object" ? reward : {};
  const names = stages.map(({ name }) => name);
  const stray = Object.keys(byStage).find((name) => !names.includes(name));
  if (stray !== undefined)
    throw new ConfigError(`reward has a function for stage "${stray}", which the recipe does not have`, {
      hint: `stages: ${names.join(", ")}`,
    });
  return (trajectory, stage, signal) => {
    const own = typeof reward === "function" ? reward : byStage[stage.name];
    return (own ?? rewardFromRules(stage.reward))(trajectory, signal);
  };
}

function withSteps(recipe: Recipe, steps: number | undefined): Recipe {
  return steps === undefined ? recipe : { ...recipe, stages: recipe.stages.map((stage) => ({ ...stage, steps })) };
}

interface OpenedRun {
  readonly recipe: Recipe;
  readonly data: TrainingData;
  readonly folder: RunFolder;
  readonly policy: OpenPolicy;
  readonly reference: TrainerParts["reference"];
  readonly score: TrainerParts["score"];
  readonly options: Pick<TrainOptions, "environment" | "signal" | "onEvent">;
}

async function trainOpened(run: OpenedRun): Promise<void> {
  const { recipe, data, policy, reference, score, options } = run;
  const tell = (event: TrainingEvent) => options.onEvent?.(event);
  const warn = (text: string) => tell({ kind: "message", text });
  const curriculum = createCurriculum(recipe.stages, {
    batch: recipe.rolloutBatch.questions,
    source: questionSource(recipe, data),
  });
  const keeper = keeperOf(run, warn);
  const { cursor, saved } = await keeper.resume();
  const report = stepReporter({ firstStep: cursor.step, steps: curriculum.steps, tell });
  const { protocol, rollout: config } = policy;
  const environment = options.environment ?? searchEnvironment({ searcher: data.search.searcher, protocol, config });
  const waitOut = waitForSearch(data.search, warn);
  const evaluation = { recipe, policy, benchmarks: data.benchmarks, folder: run.folder, tell, waitOut };
  const parts: TrainerParts = {
    curriculum,
    learner: learnerOf(policy),
    config: trainerConfig(recipe, options.environment ? { stopAfterEmptySteps: 0 } : {}),
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
    score,
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
