/** @file Loads a recipe by name or path and checks that its keys fit each other. */
import { ConfigError } from "../../base/errors.ts";
import { capabilitiesOf, demandCapabilities } from "../engines/capabilities.ts";
import { Recipe } from "./recipe.ts";
import { checkRecipe, withOverrides } from "./recipe-content.ts";
import { pathsFrom, readRecipeContent } from "./recipe-file.ts";
import { searchComplaint } from "./search-settings.ts";

/**
 * @param nameOrFile name of a recipe of the package, or a path; paths inside a recipe are relative to its own folder
 * @param sets `key=value` overrides, with dots between keys; paths in them are relative to the working directory
 * @throws ConfigError naming file, key and value
 */
export function loadRecipe(nameOrFile: string, sets: readonly string[] = []): Recipe {
  const { file, content } = readRecipeContent(nameOrFile);
  const recipe = checkRecipe(Recipe, pathsFrom(".", withOverrides(content, sets)), file);
  checkPlaces(recipe, file);
  demandCapabilities(recipe, capabilitiesOf(recipe.engine.kind), file);
  return recipe;
}

function checkPlaces(
  { search, data, stages, rolloutBatch, stepsPerRollout, loss, kl, eval: evaluation }: Recipe,
  file: string,
): void {
  const demand = (holds: boolean, complaint: string) => {
    if (!holds)
      throw new ConfigError(`${file}: ${complaint}`, { hint: "correct the recipe, or give the key with --set" });
  };
  const complaint = searchComplaint(search);
  demand(complaint === undefined, complaint ?? "");
  demand(
    search.source !== "world" || data.source === "world",
    `search.source is world, but data.source is ${data.source}`,
  );
  demand(
    stepsPerRollout <= rolloutBatch.siblings,
    `stepsPerRollout is ${stepsPerRollout}: expected at most rolloutBatch.siblings (${rolloutBatch.siblings}), for every update sees every group`,
  );
  demand(
    loss.maskDocuments || kl === undefined || kl.kind === "off",
    `loss.maskDocuments is false, but kl.kind is ${kl?.kind}: KL is of what the policy wrote`,
  );
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
