import { basename, join } from "node:path";
import { ConfigError, SearchError } from "../../base/errors.ts";
import { writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { readQuestions } from "../../data/benchmarks/read.ts";
import { splitQuestions, splitTraits, splitWorlds, type WorldSplit } from "../../data/world/splits.ts";
import type { World } from "../../data/world/world.ts";
import type { Sampler } from "../../engine/engine.ts";
import { type EvalRow, evaluate, type EvalSummary as Summary, summarise } from "../../eval/evaluate.ts";
import type { Question } from "../../protocol/question.ts";
import type { EnvironmentFactory } from "../../rollout/environment.ts";
import { searchEnvironment } from "../../rollout/search-environment.ts";
import type { Trajectory } from "../../rollout/trajectory.ts";
import type { Searcher } from "../../search/searcher.ts";
import { openEngine } from "../engines/open-engine.ts";
import type { OpenPolicy } from "../engines/open-policy.ts";
import type { SearchConfig } from "../recipe/search-settings.ts";
import { openSearch, worldSearcher } from "../search/open-search.ts";
import type { EvalSummary, ShownAttempt } from "../store/evaluation.ts";
import { makeWritable } from "../store/writable-folder.ts";

export interface EvalOptions {
  /** A model folder or a run folder; a run means its last checkpoint. */
  readonly policy: string;
  /** A PEFT folder or a run that trained an adapter, over the policy. */
  readonly adapter?: string | undefined;
  /** "world" or a file of questions. */
  readonly benchmark: string;
  /** For "world". */
  readonly worldSeed: number;
  /** For "world": how its questions differ from those of training; default "iid". */
  readonly split?: WorldSplit;
  /** At most so many; all of a file where it is absent, 500 of a world. */
  readonly questions?: number;
  /** Name or file of a prompt; default the policy's own. */
  readonly prompt?: string | undefined;
  /** What answers; needed for a file of questions. */
  readonly search?: Partial<SearchConfig>;
  readonly decode: "greedy" | "sampled";
  readonly seed: number;
  /** Where every prediction is kept, as results.jsonl beside summary.json. */
  readonly out?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number; readonly em: number }) => void;
}

/** Questions with the search that answers them. */
export interface Benchmark {
  readonly questions: readonly Question[];
  readonly searcher: Searcher;
  /** What the policy acts in; default search, by `searcher`. */
  readonly environment?: EnvironmentFactory | undefined;
  /** Why search refused to answer for good; undefined while it did not. */
  readonly refused?: () => string | undefined;
}

/** Attempts at once in an evaluation. */
export const evalConcurrency = 128;

export async function runEval({ split = "iid", ...rest }: EvalOptions): Promise<EvalSummary> {
  const options = { split, ...rest };
  const benchmarks = await openBenchmark(options);
  const removeFolder = options.out === undefined ? () => {} : makeWritable(options.out);
  try {
    return await evalAndKeep(options, benchmarks);
  } catch (cause) {
    removeFolder();
    throw cause;
  } finally {
    for (const { searcher } of benchmarks) await searcher.close();
  }
}

async function evalAndKeep(
  options: EvalOptions & { readonly split: WorldSplit },
  benchmarks: readonly Benchmark[],
): Promise<EvalSummary> {
  const isWorld = options.benchmark === "world";
  const opened = await openEngine(options.policy, {
    training: false,
    concurrency: evalConcurrency,
    prompt: options.prompt,
    adapter: options.adapter,
  });
  const policy = isWorld ? withSearches(opened, splitTraits[options.split].leastSearches) : opened;
  try {
    const sampler = await policy.sampler();
    const { summary, results } = await evaluatePolicy(policy, benchmarks, { ...options, sampler });
    const named = {
      checkpoint: basename(policy.adapter ?? policy.directory),
      decode: options.decode,
      ...(isWorld ? { split: options.split } : {}),
      ...summary,
    };
    if (options.out !== undefined) keep(options.out, named, results);
    checkAllAsked(benchmarks, named, options.out);
    return named;
  } finally {
    await policy.close();
  }
}

/** A budget that ran out leaves questions that were not measured: no number for all of them. */
function checkAllAsked(benchmarks: readonly Benchmark[], { n, failed }: Summary, out: string | undefined): void {
  const [because] = benchmarks.flatMap(({ refused }) => refused?.() ?? []);
  if (because === undefined) return;
  throw new SearchError(`${because}; ${failed} of ${n + failed} questions could not be measured`, {
    hint: out === undefined ? "raise the budget" : `what was measured lies in ${out}; raise the budget for the rest`,
  });
}

/** Questions that need more searches than a policy was trained with still get them. */
function withSearches(policy: OpenPolicy, least: number): OpenPolicy {
  const { rollout } = policy;
  return { ...policy, rollout: { ...rollout, maxSearches: Math.max(rollout.maxSearches, least) } };
}

async function openBenchmark({ benchmark, worldSeed, split, questions, search }: EvalOptions): Promise<Benchmark[]> {
  if (benchmark === "world") {
    if (search === undefined) return worldBenchmark({ seed: worldSeed, count: questions ?? 500, split });
    throw new ConfigError("--benchmark world searches its own passages; it takes no --index and no --search");
  }
  if (split !== undefined && split !== "iid") {
    throw new ConfigError(`--split ${split} is of the fictional world; the benchmark is ${benchmark}`, {
      hint: "give --benchmark world",
    });
  }
  if (search === undefined) throw new ConfigError(`--benchmark ${benchmark} needs --index or --search`);
  const all = await readQuestions(benchmark);
  const { searcher, refused } = await openSearch(search);
  return [{ questions: questions === undefined ? all : all.slice(0, questions), searcher, refused }];
}

export interface WorldBenchmarkOptions {
  readonly seed: number;
  /** Of questions, over both worlds. */
  readonly count: number;
  readonly split?: WorldSplit | undefined;
  /** Default: BM25 over the world's passages. */
  readonly searcherOf?: (world: World) => Searcher | Promise<Searcher>;
}

/** Two unseen worlds, half of the questions each. */
export function worldBenchmark({
  seed,
  count,
  split = "iid",
  searcherOf = worldSearcher,
}: WorldBenchmarkOptions): Promise<Benchmark[]> {
  const benchmarks = splitWorlds(split, seed).map(async (world, i, { length }) => ({
    questions: splitQuestions(split, world, {
      seed,
      count: Math.floor(count / length) + (i < count % length ? 1 : 0),
    }),
    searcher: await searcherOf(world),
  }));
  return Promise.all(benchmarks);
}

export interface PolicyEvaluation {
  readonly summary: Summary;
  readonly results: readonly EvalRow[];
  /** In the order of the results. */
  readonly trajectories: readonly Trajectory[];
}

export async function evaluatePolicy(
  { tokenizer, protocol, rollout, promptFor, concurrency }: OpenPolicy,
  benchmarks: readonly Benchmark[],
  {
    sampler,
    decode,
    seed,
    signal,
    onProgress,
  }: Pick<EvalOptions, "decode" | "seed" | "signal" | "onProgress"> & { readonly sampler: Sampler },
): Promise<PolicyEvaluation> {
  const total = benchmarks.reduce((sum, { questions }) => sum + questions.length, 0);
  const results: EvalRow[] = [];
  const trajectories: Trajectory[] = [];
  for (const [i, { questions, searcher, environment }] of benchmarks.entries()) {
    const before = { count: results.length, right: results.reduce((sum, { scores }) => sum + (scores?.em ?? 0), 0) };
    const report = await evaluate({
      questions,
      decode,
      // each world draws from keys of its own
      seed: seed + i,
      sampler,
      environment: environment ?? searchEnvironment({ searcher, protocol, config: rollout }),
      tokenizer,
      promptOf: promptFor,
      config: rollout,
      concurrency: Math.min(evalConcurrency, concurrency),
      ...(signal ? { signal } : {}),
      onProgress: ({ done, em }) =>
        onProgress?.({ done: before.count + done, total, em: (before.right + em * done) / (before.count + done) }),
    });
    results.push(...report.results);
    trajectories.push(...report.trajectories);
  }
  return { summary: summarise(results), results, trajectories };
}

export function showAttempt({ tape }: Trajectory, tokenizer: Tokenizer): ShownAttempt {
  let from = 0;
  return tape.runs.map(({ author, length }) => {
    from += length;
    return { author, text: tokenizer.decode(tape.tokens.subarray(from - length, from)) };
  });
}

function keep(directory: string, summary: EvalSummary, results: readonly EvalRow[]): void {
  writeAtomically(join(directory, "results.jsonl"), results.map((row) => `${toJson(row)}\n`).join(""));
  writeAtomically(join(directory, "summary.json"), `${toJson(summary, 2)}\n`);
}
