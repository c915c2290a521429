/** @file The recipes that come with the package, and what the paths in a recipe mean. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { closest } from "fastest-levenshtein";
import { ConfigError, messageOf } from "../base/errors.ts";
import type { Recipe } from "./config.ts";

const recipesFolder = fileURLToPath(new URL("../../recipes", import.meta.url));

/** Names of the training recipes of the package. */
export function recipeNames(): string[] {
  return readdirSync(recipesFolder)
    .filter((file) => file.endsWith(".yaml") && !file.endsWith("-pretrain.yaml"))
    .map((file) => file.slice(0, -".yaml".length))
    .sort();
}

/** @throws ConfigError on a name that no recipe has, or a file that cannot be read */
export function readRecipeText(nameOrFile: string): { file: string; text: string } {
  const isPath = /[\\/]|\.(ya?ml|json)$/.test(nameOrFile);
  const file = isPath ? nameOrFile : join(recipesFolder, `${nameOrFile}.yaml`);
  if (!isPath && !existsSync(file)) {
    const names = recipeNames();
    throw new ConfigError(`there is no recipe "${nameOrFile}" (did you mean ${closest(nameOrFile, names)}?)`, {
      hint: `recipes: ${names.join(", ")}; or give the path of a .yaml file`,
    });
  }
  try {
    return { file: fromHere(resolve(file)), text: readFileSync(file, "utf8") };
  } catch (cause) {
    throw new ConfigError(`recipe ${file} cannot be read: ${messageOf(cause)}`, {
      hint: `recipes: ${recipeNames().join(", ")}`,
      cause,
    });
  }
}

/** Makes every path of a recipe one that starts from the working directory; those under a key in `given` do so already. */
export function recipePaths(recipe: Recipe, file: string, given: ReadonlySet<string>): Recipe {
  const start = dirname(resolve(file));
  const isGiven = (key: string) => [...given].some((prefix) => key === prefix || key.startsWith(`${prefix}.`));
  const place = <T extends string | undefined>(key: string, path: T) =>
    path === undefined ? undefined : fromHere(isAbsolute(path) ? path : resolve(isGiven(key) ? "." : start, path));
  const { search, data, eval: evaluation, promptFile } = recipe;
  return {
    ...recipe,
    model: place("model", recipe.model)!,
    search: withPath(search, "path", place("search.path", search.path)),
    data: withPath(data, "file", place("data.file", data.file)),
    eval: withPath(evaluation, "file", place("eval.file", evaluation.file)),
    stages: recipe.stages.map((stage, i) => withPath(stage, "file", place(`stages.${i}.file`, stage.file))),
    ...(promptFile === undefined ? {} : { promptFile: place("promptFile", promptFile)! }),
  };
}

function withPath<T extends object>(group: T, key: keyof T, path: string | undefined): T {
  return path === undefined ? group : { ...group, [key]: path };
}

/** Relative where it lies below the working directory, so that a folder that moves keeps its recipes. */
function fromHere(path: string): string {
  const inside = relative(process.cwd(), path);
  return inside === "" || inside.startsWith("..") || isAbsolute(inside) ? path : inside;
}
