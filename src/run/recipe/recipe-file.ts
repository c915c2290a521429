/** @file The recipes that come with the package, and how paths in a recipe are resolved. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { closest } from "fastest-levenshtein";
import { ConfigError, messageOf } from "../../base/errors.ts";
import { packagePath } from "../../base/package.ts";
import { isRecord, type RecipeContent, recipeContent } from "./recipe-content.ts";

const recipesFolder = packagePath("recipes");

/** Names of the package's training recipes; those in a subfolder have a slash. */
export function recipeNames(): string[] {
  return readdirSync(recipesFolder, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => file.endsWith(".yaml") && !file.endsWith("-pretrain.yaml") && !file.startsWith("prompts/"))
    .map((file) => file.slice(0, -".yaml".length))
    .sort();
}

/**
 * Keys and values of a recipe, merged over those of the recipe that it extends: groups are merged, lists and values
 * replaced, and a name is never inherited. Every path in it is made relative to the working directory.
 *
 * @throws ConfigError on an unknown name, a file that cannot be read, or recipes that extend each other
 */
export function readRecipeContent(nameOrFile: string): { file: string; content: RecipeContent } {
  return readExtended(nameOrFile, []);
}

/**
 * The same for a recipe that a program holds as an object; paths in it start from the working directory.
 *
 * @throws ConfigError also where it holds what no file could, such as a function
 */
export function recipeObjectContent(recipe: RecipeContent): { file: string; content: RecipeContent } {
  const file = "the recipe object";
  let plain: RecipeContent;
  try {
    plain = structuredClone(recipe);
  } catch (cause) {
    throw new ConfigError(`${file} holds more than plain values: ${messageOf(cause)}`, {
      hint: "a searcher, a reward or another part in code is an option beside recipe",
      cause,
    });
  }
  return { file, content: extended(pathsFrom(".", plain), { file, folder: ".", chain: [] }) };
}

function readExtended(nameOrFile: string, above: readonly string[]): { file: string; content: RecipeContent } {
  const { file, text } = readRecipeText(nameOrFile);
  const chain = [...above, file];
  if (above.includes(file))
    throw new ConfigError(`${file} extends itself: ${chain.join(" → ")}`, { hint: "take extends out of one of them" });
  const folder = dirname(file);
  return { file, content: extended(pathsFrom(folder, recipeContent(text, file)), { file, folder, chain }) };
}

interface Place {
  readonly file: string;
  readonly folder: string;
  /** The files that led here, `file` included, outermost first. */
  readonly chain: readonly string[];
}

function extended({ extends: base, ...own }: RecipeContent, { file, folder, chain }: Place): RecipeContent {
  if (base === undefined) return own;
  if (typeof base !== "string" || base === "")
    throw new ConfigError(
      `${file}: extends is ${JSON.stringify(base)}: expected the name of a recipe or the path of one`,
    );
  const { name: _, ...inherited } = readExtended(isPath(base) ? resolve(folder, base) : base, chain).content;
  return merge(inherited, own);
}

function merge(base: RecipeContent, over: RecipeContent): RecipeContent {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = merged[key];
    merged[key] = value === undefined ? old : isRecord(old) && isRecord(value) ? merge(old, value) : value;
  }
  return merged;
}

function isPath(nameOrFile: string): boolean {
  return /[\\/]|\.(ya?ml|json)$/.test(nameOrFile) && !recipeNames().includes(nameOrFile);
}

function readRecipeText(nameOrFile: string): { file: string; text: string } {
  const isFile = isPath(nameOrFile);
  const file = isFile ? nameOrFile : join(recipesFolder, `${nameOrFile}.yaml`);
  if (!isFile && !existsSync(file)) {
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

const pathKeys = [
  "model",
  "promptFile",
  ...["path", "encoder", "cache", "record", "replay"].map((key) => `search.${key}`),
  "data.file",
  "eval.file",
  "stages.*.file",
];

/** Resolves every path of a recipe, which is relative to `folder`. */
export function pathsFrom(folder: string, content: RecipeContent): RecipeContent {
  const isPath = (value: unknown): value is string =>
    typeof value === "string" && value !== "" && !/^https?:/i.test(value); // an encoder may also be a server's address
  const place = (value: unknown) => (isPath(value) ? fromHere(resolve(folder, value)) : value);
  return pathKeys.reduce((placed, key) => changeAt(placed, key.split("."), place) as RecipeContent, content);
}

/** @param keys "*" is every item of a list */
function changeAt(value: unknown, [key, ...rest]: readonly string[], change: (value: unknown) => unknown): unknown {
  if (key === undefined) return change(value);
  if (key === "*") return Array.isArray(value) ? value.map((item) => changeAt(item, rest, change)) : value;
  return isRecord(value) && Object.hasOwn(value, key) ? { ...value, [key]: changeAt(value[key], rest, change) } : value;
}

/** Relative if it lies below the working directory, so that a folder can be moved with its recipes. */
function fromHere(path: string): string {
  const inside = relative(process.cwd(), path);
  return inside === "" || inside.startsWith("..") || isAbsolute(inside) ? path : inside;
}
