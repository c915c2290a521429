/** @file What a run asks and where it searches, from its recipe. */
import { ConfigError } from "../../base/errors.ts";
import { readQuestions } from "../../data/benchmarks/read.ts";
import { makeWorld, type World } from "../../data/world/world.ts";
import { shownWords } from "../../protocol/documents.ts";
import type { Question } from "../../protocol/question.ts";
import { normalise } from "../../reward/text.ts";
import { listSource, type QuestionSource } from "../../rl/curriculum.ts";
import { memorySearcher } from "../../search/bm25/searcher.ts";
import type { Searcher } from "../../search/searcher.ts";
import { type Benchmark, worldBenchmark } from "../evaluate/run-eval.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { RecipeStage } from "../recipe/recipe-stage.ts";
import { openSearch, openSuppliedSearch } from "../search/open-search.ts";
import type { OpenSearch } from "../search/open-source.ts";
import { searchAll } from "../search/search-all.ts";
import { holdAll } from "../search/search-health.ts";
import type { SuppliedParts, SuppliedQuestions } from "./train-options.ts";
import { worldSource } from "./world-source.ts";

export interface TrainingData {
  readonly search: OpenSearch;
  readonly worlds: readonly World[];
  /** By file. */
  readonly files: ReadonlyMap<string, readonly Question[]>;
  /** What a program asks in place of all these. */
  readonly questions: SuppliedQuestions["train"] | undefined;
  readonly benchmarks: { readonly curve: readonly Benchmark[]; readonly full: readonly Benchmark[] };
  close(): Promise<void>;
}

/**
 * Reads every question and opens the search before any model loads: a bad row is found before step 1.
 *
 * @param supplied what a program gives in place of the recipe's questions and search
 */
export async function openQuestions(recipe: Recipe, supplied: SuppliedParts = {}): Promise<TrainingData> {
  const { data, eval: evaluation } = recipe;
  const worlds =
    data.source === "world" ? data.worldSeeds.map((seed) => makeWorld({ seed, split: "train", size: "train" })) : [];
  const read = supplied.questions ? new Map() : await readFiles(recipe);
  const heldOut = supplied.questions?.heldOut ?? (evaluation.file && (await readQuestions(evaluation.file)));
  const { search, searcherOf } = await openTrainingSearch(recipe, worlds, supplied);
  const opened: Searcher[] = [search.searcher];
  const close = async () => {
    for (const searcher of opened) await searcher.close();
  };
  const benchmark = async ({ questions, worldSeed }: Recipe["eval"]["full"]): Promise<Benchmark[]> => {
    const { environment } = supplied;
    if (heldOut) return [{ questions: heldOut.slice(0, questions), searcher: search.searcher, environment }];
    const benchmarks = await worldBenchmark({
      seed: worldSeed,
      count: questions,
      ...(searcherOf ? { searcherOf } : {}),
    });
    opened.push(...benchmarks.map(({ searcher }) => searcher));
    return benchmarks;
  };
  try {
    const files = await selected(read, search.searcher, recipe);
    const benchmarks = { curve: await benchmark(evaluation.curve), full: await benchmark(evaluation.full) };
    return { search, worlds, files, questions: supplied.questions?.train, benchmarks, close };
  } catch (cause) {
    await close();
    throw cause;
  }
}

async function readFiles({ data, stages }: Recipe): Promise<Map<string, readonly Question[]>> {
  const paths = data.source === "file" ? [...new Set(stages.map((stage) => stage.file ?? data.file!))] : [];
  const read = new Map<string, readonly Question[]>();
  for (const path of paths) read.set(path, await readQuestions(path));
  return read;
}

/** @returns the search of training, and how to search each world of the evaluations where a program says how */
async function openTrainingSearch(
  { search }: Recipe,
  worlds: readonly World[],
  { searcher, environment, questions }: SuppliedParts,
): Promise<{ search: OpenSearch; searcherOf?: (world: World) => Searcher | Promise<Searcher> }> {
  const [world] = worlds;
  const own = environment === undefined ? "searcher" : "environment";
  if ((environment || typeof searcher === "object") && world !== undefined && questions === undefined)
    throw new ConfigError(
      `${own} is supplied in code, but the questions are about the fictional worlds of the recipe`,
      {
        hint: "supply questions too, name files of questions in the recipe, or give as searcher a function that makes one of the passages of a world",
      },
    );
  if (environment) return { search: await openSuppliedSearch(memorySearcher([]), search, true) }; // nothing asks it
  if (searcher === undefined) return { search: await openSearch(search, worlds) };
  if (typeof searcher === "function") {
    if (world === undefined || worlds.length > 1)
      throw new ConfigError(
        `searcher is a function of a world's passages, but the recipe has ${worlds.length} worlds`,
        {
          hint: "give the searcher itself, or set data.source to world with one of data.worldSeeds",
        },
      );
    const searcherOf = ({ passages }: World) => searcher(passages);
    return { search: await openSuppliedSearch(await searcherOf(world), search, true), searcherOf };
  }
  return { search: await openSuppliedSearch(searcher, search, false) };
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

export function questionSource(
  recipe: Recipe,
  { worlds, files, questions }: Pick<TrainingData, "worlds" | "files" | "questions">,
): QuestionSource<RecipeStage> {
  if (typeof questions === "function") return questions;
  if (questions) return listSource(() => questions, recipe.seed);
  if (recipe.data.source === "world") return worldSource(worlds, recipe.seed);
  return listSource(({ file }) => files.get(file ?? recipe.data.file!)!, recipe.seed);
}
