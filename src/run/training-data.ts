/** @file What a run asks and where it searches, from its recipe. */
import { readQuestions } from "../data/benchmarks/read.ts";
import { makeWorld, type World } from "../data/world/world.ts";
import type { Question } from "../protocol/question.ts";
import { normalise } from "../reward/text.ts";
import { listSource, type QuestionSource, worldSource } from "../rl/curriculum.ts";
import { openSearch } from "./assemble-search.ts";
import type { Recipe } from "./config.ts";
import type { OpenSearch } from "./open-search.ts";
import { type Benchmark, worldBenchmark } from "./run-eval.ts";

export interface TrainingData {
  readonly search: OpenSearch;
  readonly worlds: readonly World[];
  /** By file. */
  readonly files: ReadonlyMap<string, readonly Question[]>;
  readonly benchmarks: { readonly curve: readonly Benchmark[]; readonly full: readonly Benchmark[] };
  close(): Promise<void>;
}

/** Reads every question and opens the search before any model loads: a bad row is found before step 1. */
export async function openQuestions(recipe: Recipe): Promise<TrainingData> {
  const { data, stages, eval: evaluation } = recipe;
  const worlds =
    data.source === "world" ? data.worldSeeds.map((seed) => makeWorld({ seed, split: "train", size: "train" })) : [];
  const paths = data.source === "file" ? [...new Set(stages.map((stage) => stage.file ?? data.file!))] : [];
  const files = new Map<string, readonly Question[]>();
  for (const path of paths) files.set(path, atMostPerAnswer(await readQuestions(path), data.perAnswer));
  const search = await openSearch(recipe.search, worlds);
  const { searcher } = search;
  const heldOut = evaluation.file === undefined ? undefined : await readQuestions(evaluation.file);
  const benchmark = ({ questions, worldSeed }: Recipe["eval"]["full"]): Benchmark[] =>
    heldOut ? [{ questions: heldOut.slice(0, questions), searcher }] : worldBenchmark(worldSeed, questions);
  return {
    search,
    worlds,
    files,
    benchmarks: { curve: benchmark(evaluation.curve), full: benchmark(evaluation.full) },
    close: () => searcher.close(),
  };
}

/** Answers that are the same when they are scored; of several spellings the first counts. */
export function atMostPerAnswer(questions: readonly Question[], most = Number.POSITIVE_INFINITY): Question[] {
  const seen = new Map<string, number>();
  return questions.filter(({ gold }) => {
    const answer = normalise(gold[0] ?? "");
    const times = (seen.get(answer) ?? 0) + 1;
    seen.set(answer, times);
    return times <= most;
  });
}

export function questionSource(recipe: Recipe, { worlds, files }: TrainingData): QuestionSource {
  if (recipe.data.source === "world") return worldSource(worlds, recipe.seed);
  return listSource(({ file }) => files.get(file ?? recipe.data.file!)!, recipe.seed);
}
