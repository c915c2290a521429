/** @file What a run asks and where it searches, from its recipe. */
import { ConfigError } from "../../base/errors.ts";
import { readQuestions } from "../../data/benchmarks/read.ts";
import { makeWorld, type World } from "../../data/world/world.ts";
import { shownWords } from "../../protocol/documents.ts";
import type { Question } from "../../protocol/question.ts";
import { normalise } from "../../reward/text.ts";
import { listSource, type QuestionSource } from "../../rl/curriculum.ts";
import type { Searcher } from "../../search/searcher.ts";
import { type Benchmark, worldBenchmark } from "../evaluate/run-eval.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { RecipeStage } from "../recipe/recipe-stage.ts";
import { openSearch } from "../search/open-search.ts";
import type { OpenSearch } from "../search/open-source.ts";
import { searchAll } from "../search/search-all.ts";
import { holdAll } from "../search/search-health.ts";
import { worldSource } from "./world-source.ts";

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
  const read = new Map<string, readonly Question[]>();
  for (const path of paths) read.set(path, await readQuestions(path));
  const heldOut = evaluation.file === undefined ? undefined : await readQuestions(evaluation.file);
  const search = await openSearch(recipe.search, worlds);
  const { searcher } = search;
  const files = await selected(read, searcher, recipe).catch(async (cause: unknown) => {
    await searcher.close();
    throw cause;
  });
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

/** @throws ConfigError where nothing is left of a file */
async function selected(
  files: ReadonlyMap<string, readonly Question[]>,
  searcher: Searcher,
  { data, rollout }: Recipe,
): Promise<Map<string, readonly Question[]>> {
  const kept = new Map<string, readonly Question[]>();
  for (const [path, all] of files) {
    const questions = data.answerShown ? await withAnswerShown(all, searcher, rollout) : all;
    if (questions.length === 0)
      throw new ConfigError(`data.answerShown leaves none of the ${all.length} questions of ${path}`, {
        hint: "show more (rollout.k, rollout.maxPassageWords), search where the answers are, or leave data.answerShown out",
      });
    kept.set(path, atMostPerAnswer(questions, data.perAnswer));
  }
  return kept;
}

/** Questions to which the documents of a search for themselves hold an answer, cut as the policy sees them. */
export async function withAnswerShown(
  questions: readonly Question[],
  searcher: Searcher,
  { k, maxPassageWords }: { readonly k: number; readonly maxPassageWords: number },
): Promise<Question[]> {
  const texts = questions.map(({ text }) => text);
  const results = await searchAll(searcher, texts, { k, purpose: "data.answerShown" });
  return questions.filter(({ gold }, i) => {
    const shown = results[i]!.map((hit) => ({ ...hit, text: shownWords(hit.text, maxPassageWords) }));
    return holdAll({ support: [], answers: gold }, shown);
  });
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

export function questionSource(recipe: Recipe, { worlds, files }: TrainingData): QuestionSource<RecipeStage> {
  if (recipe.data.source === "world") return worldSource(worlds, recipe.seed);
  return listSource(({ file }) => files.get(file ?? recipe.data.file!)!, recipe.seed);
}
