/** @file A run from its recipe to its last checkpoint: opens everything, trains, and reports to whoever watches. */
import { join, resolve } from "node:path";
import { SearchError } from "../../base/errors.ts";
import type { Learner } from "../../engine/engine.ts";
import { promptTokens } from "../../protocol/tape.ts";
import { scoreTrajectory } from "../../reward/stages.ts";
import { createCurriculum } from "../../rl/curriculum.ts";
import { alarms, isOutage } from "../../rl/health.ts";
import type { Evaluation, EvaluationRequest, StepRecord, TrainerParts } from "../../rl/parts.ts";
import { train } from "../../rl/trainer.ts";
import { openEngine } from "../engines/open-engine.ts";
import type { OpenPolicy, OpenOptions } from "../engines/open-policy.ts";
import { evaluatePolicy, showAttempt } from "../evaluate/run-eval.ts";
import { writeModelCard } from "../policy/model-card.ts";
import { runCard } from "../policy/run-card.ts";
import { loadRecipe } from "../recipe/load-recipe.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { EvalSummary, ShownAttempt } from "../store/evaluation.ts";
import { openRun, type RunFolder } from "../store/run-folder.ts";
import { runKeeper } from "../store/run-keeper.ts";
import { rolloutStep } from "./rollout-step.ts";
import { trainerConfig } from "./trainer-config.ts";
import { openQuestions, questionSource } from "./training-data.ts";
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
      const run = new TrainingRun({ recipe, data, folder, policy, reference, options });
      await run.train();
      return {
        run: folder.directory,
        seconds: (performance.now() - began) / 1000,
        search: recipe.search,
        ...run.report(),
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

interface Parts {
  readonly recipe: Recipe;
  readonly data: Awaited<ReturnType<typeof openQuestions>>;
  readonly folder: RunFolder;
  readonly policy: OpenPolicy;
  /** Where the policy started, where KL holds it back: a frozen copy, or the model below an adapter. */
  readonly reference: TrainerParts["reference"];
  readonly options: TrainingOptions;
}

class TrainingRun {
  readonly #parts: Parts;
  readonly #began = performance.now();
  #firstStep = 0;
  /** Those of the last step. */
  #alarms: readonly string[] = [];
  #waitOut: TrainerParts["waitOut"];

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async train(): Promise<void> {
    const { recipe, data, folder, policy, reference, options } = this.#parts;
    const learner = learnerOf(policy);
    const curriculum = createCurriculum(recipe.stages, {
      batch: recipe.rolloutBatch.questions,
      source: questionSource(recipe, data),
    });
    const warn = (text: string) => options.onEvent?.({ kind: "message", text });
    this.#waitOut = waitForSearch(data.search, warn);
    const describe = (directory: string, step: number) => {
      const facts = { recipe, evaluations: folder.evaluations(), metrics: folder.metrics(), step };
      writeModelCard(directory, runCard({ ...facts, measured: false, isAdapter: recipe.lora !== undefined }));
    };
    const keeper = runKeeper({ folder, learner, keep: recipe.checkpoint.keep, warn, describe });
    const { cursor, saved } = await keeper.resume();
    this.#firstStep = cursor.step;
    const parts: TrainerParts = {
      curriculum,
      learner,
      config: trainerConfig(recipe),
      ...(reference ? { reference } : {}),
      keeper: {
        ...keeper,
        record: async (record) => {
          await keeper.record({ ...record, timing: { ...record.timing, ...data.search.timing() } });
          this.#announce(record, curriculum.steps);
        },
      },
      rollOut: rolloutStep({ recipe, policy, searcher: data.search.searcher }),
      promptOf: ({ tape }) => policy.tokenizer.decode(promptTokens(tape)),
      score: (trajectory, stage) => scoreTrajectory(trajectory, stage.reward),
      searchFinds: async (questions) => {
        const texts = questions.map(({ text }) => text);
        const results = await data.search.searcher.search(texts, { k: policy.rollout.k });
        return results.some((result) => result.ok && result.hits.length > 0);
      },
      evaluate: (request) => this.#evaluate(request),
      ...(this.#waitOut ? { waitOut: this.#waitOut } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    };
    await train(parts, cursor, saved);
  }

  report(): Pick<TrainingResult, "evals" | "history" | "example"> {
    const number = (value: number | string | undefined) => (typeof value === "number" ? value : 0);
    const history = this.#parts.folder
      .metrics()
      .filter(({ stage }) => stage !== undefined)
      .map((line) => ({
        step: line.step + 1,
        stage: line.stage!,
        reward: number(line["reward/total"]),
        f1: number(line["answer/f1"]),
        searchRate: number(line["search/rate"]),
      }));
    const full = this.#parts.folder.evaluations().filter(({ scope }) => scope === "full");
    const [before, after] = [full[0]?.example, full.at(-1)?.example];
    return {
      evals: full.map(({ summary }) => summary),
      history,
      ...(before && after && full.length > 1 ? { example: { before, after } } : {}),
    };
  }

  #announce({ step, stage, metrics, timing }: StepRecord, steps: number): void {
    if (stage === undefined) return;
    const seconds = (performance.now() - this.#began) / 1000;
    const perStep = seconds / (step + 1 - this.#firstStep);
    this.#parts.options.onEvent?.({
      kind: "step",
      step: step + 1,
      steps,
      stage,
      etaSeconds: perStep * (steps - step - 1),
      reward: metrics["reward/total"] ?? 0,
      f1: metrics["answer/f1"] ?? 0,
      searchRate: metrics["search/rate"] ?? 0,
      entropy: metrics["policy/entropy"] ?? 0,
      tokensPerSecond: (metrics["policy/tokens"] ?? 0) / (timing["sample"] ?? 1),
    });
    const raised = alarms(metrics);
    for (const text of raised) {
      if (!this.#alarms.includes(text))
        this.#parts.options.onEvent?.({ kind: "message", text: `step ${step + 1}: ${text}` });
    }
    this.#alarms = raised;
  }

  async #evaluate(request: EvaluationRequest): Promise<Evaluation> {
    const { step, checkpoint, scope } = request;
    const { recipe, folder, policy, options } = this.#parts;
    const { decode } = recipe.eval[scope];
    let score = 0;
    const metrics: Record<string, number> = {};
    for (const how of decode) {
      const { summary, results, trajectories } = await this.#measureOrWait(how, request);
      const named = { checkpoint, decode: how, ...summary };
      const shown = trajectories.find(({ question }) => question.type === "2-hop") ?? trajectories[0];
      const example = shown && showAttempt(shown, policy.tokenizer);
      folder.saveEvaluation(`${checkpoint}--${scope}-${how}`, { step, scope, summary: named, example }, results);
      metrics[`eval/${scope}/${how}/em`] = summary.em;
      metrics[`eval/${scope}/${how}/search_rate`] = summary.searchRate;
      if (how === decode[0]) score = summary.em;
      if (scope === "full") options.onEvent?.({ kind: "eval", summary: named });
    }
    return { score, metrics };
  }
  /** The same evaluation again until search is back: what an outage spared is no measurement. */
  async #measureOrWait(decode: "greedy" | "sampled", { step, scope, sampler, signal }: EvaluationRequest) {
    const { recipe, data, policy } = this.#parts;
    const benchmarks = data.benchmarks[scope];
    const attempts = benchmarks.reduce((sum, { questions }) => sum + questions.length, 0);
    for (let times = 1; ; times++) {
      let [failed, because] = [attempts, "search failed in every attempt"];
      try {
        const measured = await evaluatePolicy(policy, benchmarks, { decode, seed: recipe.seed, sampler, signal });
        failed = measured.summary.failed;
        because =
          measured.trajectories.flatMap(({ searches }) => searches.flatMap(({ error }) => error ?? []))[0] ?? because;
        if (!this.#waitOut || !isOutage(measured.trajectories, times)) return measured;
      } catch (cause) {
        if (!this.#waitOut || !(cause instanceof SearchError)) throw cause;
      }
      await this.#waitOut({ step, failed, attempts, times, because }, signal);
    }
  }
}
