/** @file From the name of a recipe to a `Recipe` whose keys fit each other. */
import { ConfigError } from "../../base/errors.ts";
import { Recipe, type RecipeInput } from "./recipe.ts";
import { checkRecipe, withOverrides } from "./recipe-content.ts";
import { pathsFrom, readRecipeContent, recipeObjectContent } from "./recipe-file.ts";
import { searchComplaint } from "./search-settings.ts";
import { demandSameSupplied, type SuppliedPart, suppliedIn, suppliedKey } from "./supplied-parts.ts";

/**
 * @param recipe name of a recipe of the package, or a path, or an object; paths inside a file start from its own
 *   folder, those inside an object from the working directory
 * @param sets `key=value` over the recipe, dots between keys; paths in them start from the working directory
 * @param supplied parts that a program gives itself; what the recipe says in their place need not fit
 * @throws ConfigError naming file, key and value
 */
export function loadRecipe(
  recipe: string | RecipeInput,
  sets: readonly string[] = [],
  supplied: readonly SuppliedPart[] = [],
): Recipe {
  const { file, content } = typeof recipe === "string" ? readRecipeContent(recipe) : recipeObjectContent({ ...recipe });
  const { [suppliedKey]: before, ...named } = content; // the recipe.yaml of a run folder may have it
  if (before !== undefined) demandSameSupplied(`the run of ${file}`, suppliedIn(content), supplied);
  const checked = checkRecipe(Recipe, pathsFrom(".", withOverrides(named, sets)), file);
  checkPlaces(checked, file, supplied);
  return checked;
}

function checkPlaces(recipe: Recipe, file: string, supplied: readonly SuppliedPart[]): void {
  const { search, data, rolloutBatch, stepsPerRollout, loss, kl } = recipe;
  const demand: Demand = (holds, complaint) => {
    if (!holds)
      throw new ConfigError(`${file}: ${complaint}`, { hint: "correct the recipe, or give the key with --set" });
  };
  if (!supplied.includes("searcher") && !supplied.includes("environment")) {
    const complaint = searchComplaint(search);
    demand(complaint === undefined, complaint ?? "");
    demand(
      search.source !== "world" || data.source === "world",
      `search.source is world, but data.source is ${data.source}`,
    );
  }
  demand(
    stepsPerRollout <= rolloutBatch.siblings,
    `stepsPerRollout is ${stepsPerRollout}: expected at most rolloutBatch.siblings (${rolloutBatch.siblings}), for every update sees every group`,
  );
  demand(
    loss.maskDocuments || kl === undefined || kl.kind === "off",
    `loss.maskDocuments is false, but kl.kind is ${kl?.kind}: KL is of what the policy wrote`,
  );
  if (!supplied.includes("questions")) checkQuestions(recipe, demand);
}

type Demand = (holds: boolean, complaint: string) => void;

function checkQuestions({ data, stages, eval: evaluation }: Recipe, demand: Demand): void {
  for (const [i, { mix, file: own }] of stages.entries()) {
    if (data.source === "world") {
      demand(own === undefined, `stages.${i}.file is given, but data.source is world`);
      demand(
        mix !== undefined && Object.values(mix).some((part = 0) => part > 0),
        `stages.${i}.mix is missing: a world needs shares of 1-hop, 2-hop, comparison or 3-hop`,
      );
    } else {
      demand(mix === undefined, `stages.${i}.mix is given, but data.source is file`);
      demand((own ?? data.file) !== undefined, `stages.${i}.file and data.file are missing: data.source is file`);
    }
  }
  demand(
    data.source === "world" || evaluation.file !== undefined,
    "eval.file is missing: held-out questions cannot come from worlds where data.source is file",
  );
}
