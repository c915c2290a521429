/** @file Reads a recipe (YAML or JSON) against a schema, with `key=value` overrides; every error names file and key. */
import { readFileSync } from "node:fs";
import { closest, distance } from "fastest-levenshtein";
import { z } from "zod";
import { ConfigError, messageOf } from "../../base/errors.ts";
import { shown, yamlValue } from "./yaml-value.ts";

export interface RecipeSource {
  /** Path of the recipe; named in every error. */
  readonly file: string;
  /** `a.b=value`, in order; values are YAML, so numbers, true and [lists] work. */
  readonly overrides?: readonly string[];
}

/** Keys and values as they were written. */
export type RecipeContent = Record<string, unknown>;

/** @throws ConfigError on a file that cannot be read, broken YAML, an unknown key or a value out of range */
export function readRecipe<Schema extends z.ZodType>(
  schema: Schema,
  { file, overrides = [] }: RecipeSource,
): z.output<Schema> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`recipe ${file} cannot be read: ${messageOf(cause)}`, {
      hint: "give the path of a .yaml file",
      cause,
    });
  }
  return parseRecipe(schema, text, { file, overrides });
}

export function parseRecipe<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  { file, overrides = [] }: RecipeSource,
): z.output<Schema> {
  return checkRecipe(schema, withOverrides(recipeContent(text, file), overrides), file);
}

/** The contents of the text, not yet checked against a schema. */
export function recipeContent(text: string, file: string): RecipeContent {
  const hint = "correct that line; a recipe is a YAML mapping";
  const content =
    yamlValue(text, (fault, line) => new ConfigError(`${file}:${line} is not YAML: ${fault}`, { hint })) ?? {};
  if (!isRecord(content))
    throw new ConfigError(`${file} does not hold keys and values`, { hint: "a recipe is a YAML mapping" });
  return content;
}

export function withOverrides(content: RecipeContent, overrides: readonly string[]): RecipeContent {
  const changed = structuredClone(content);
  for (const override of overrides) applyOverride(changed, override);
  return changed;
}

/** @param file named in every error */
export function checkRecipe<Schema extends z.ZodType>(
  schema: Schema,
  content: RecipeContent,
  file: string,
): z.output<Schema> {
  const result = schema.safeParse(content);
  if (result.success) return result.data;
  const known = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const { issues } = result.error;
  const complaints = issues
    .slice(0, mostComplaints)
    .map((issue) => complaintOf(issue, known as JsonSchema, content))
    .concat(issues.length > mostComplaints ? [`and ${issues.length - mostComplaints} more faults`] : []);
  throw new ConfigError(`${file}: ${complaints.join("; ")}`, {
    hint: "correct the recipe, or the --set that gave the value",
  });
}

const mostComplaints = 8;

function applyOverride(content: RecipeContent, override: string): void {
  const at = override.indexOf("=");
  const path = override.slice(0, Math.max(0, at)).split(".");
  if (at < 1 || path.some((key) => key === "" || key === "__proto__")) {
    throw new ConfigError(`--set ${brief(override)} names no key`, {
      hint: "write it as key=value, for example optimizer.learningRate=0.0003",
    });
  }
  const hint = "quote the value, or write it as YAML: a number, true, a text, [a, list]";
  const value = yamlValue(
    override.slice(at + 1),
    (fault) => new ConfigError(`--set ${brief(override)}: the value is not YAML: ${fault}`, { hint }),
  );
  let place: Record<string, unknown> = content;
  for (const [depth, key] of path.entries()) {
    if (Array.isArray(place)) demandItem(place, key, `--set ${brief(override)}: ${path.slice(0, depth).join(".")}`);
    if (depth === path.length - 1) break;
    const next = Object.hasOwn(place, key) ? place[key] : (place[key] = {});
    if (!isRecord(next) && !Array.isArray(next))
      throw new ConfigError(`--set ${brief(override)}: ${key} holds a value, not keys`, {
        hint: `give ${key} itself another value`,
      });
    place = next as Record<string, unknown>;
  }
  place[path.at(-1)!] = value;
}

/** @throws ConfigError unless `key` is the number of an item, or of the next one */
function demandItem(list: readonly unknown[], key: string, where: string): void {
  if (/^(0|[1-9]\d{0,8})$/.test(key) && Number(key) <= list.length) return;
  const items = list.length === 0 ? "is an empty list" : `is a list with the items 0 to ${list.length - 1}`;
  throw new ConfigError(`${where} ${items}, and has no ${brief(key)}`, {
    hint: `give the number of an item; ${list.length} adds one`,
  });
}

const brief = (text: string) => (text.length <= 100 ? text : `${text.slice(0, 99)}…`);

function complaintOf(issue: z.core.$ZodIssue, schema: JsonSchema, content: unknown): string {
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    const choices = keysAt(schema, path);
    return issue.keys
      .map((key) => {
        const near = choices.length > 0 ? closest(key, choices) : undefined;
        const suggestion =
          near !== undefined && distance(key, near) <= Math.max(2, key.length / 3)
            ? `did you mean ${near}?`
            : `known: ${choices.join(", ")}`;
        return `unknown key ${[...path, key].join(".")} (${suggestion})`;
      })
      .join("; ");
  }
  const value = path.reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], content);
  const got = value === undefined ? "is missing" : `is ${shown(value)}`;
  return `${path.join(".") || "the recipe"} ${got}: ${issue.message}`;
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly additionalProperties?: JsonSchema | boolean;
}

function keysAt(schema: JsonSchema, path: readonly string[]): string[] {
  const variants = schema.anyOf ?? schema.oneOf ?? [schema];
  const [key, ...rest] = path;
  if (key === undefined) return variants.flatMap(({ properties }) => Object.keys(properties ?? {}));
  return variants.flatMap(({ properties, items, additionalProperties }) => {
    const inner = properties?.[key] ?? items ?? additionalProperties;
    return typeof inner === "object" ? keysAt(inner, rest) : [];
  });
}

export function isRecord(value: unknown): value is RecipeContent {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
