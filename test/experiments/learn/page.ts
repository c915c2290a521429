/** @file Puts the tables of `npm run experiment -- learn` into a page, and keeps there what was measured of other recipes. */
import { replaceMarked } from "../../../src/base/marked-page.ts";
import { notMeasured, type TableName, tableNames } from "./tables.ts";

/** Replaces what stands between the two markers of every table; recipes that the tables lack keep their lines. */
export function insertTables(page: string, tables: Record<TableName, string>): string {
  return tableNames.reduce((text, name) => {
    const merge = name === "ablations" ? mergeRows : mergeSections;
    return replaceMarked(text, `learn:${name}`, (old) => merge(old, tables[name]), "the page");
  }, page);
}

/** Sections begin with `### recipe`: one that is new takes the place of the old, and is added last if there was none. */
function mergeSections(old: string, fresh: string): string {
  const sections = new Map<string, string>();
  for (const text of [old, fresh]) {
    for (const section of text.split(/^(?=### )/m).filter((part) => part.startsWith("### ")))
      sections.set(section.slice(0, section.indexOf("\n")), section.trimEnd());
  }
  return [...sections.values()].join("\n\n") || notMeasured;
}

/** One table: rows by recipe, and below it a line for each time that rows were made, kept while a row of it is. */
function mergeRows(old: string, fresh: string): string {
  if (fresh === notMeasured) return old.includes("\n| ") ? old : notMeasured;
  const [before, after] = [parts(old), parts(fresh)];
  if (before.head !== after.head) return fresh; // other columns: the rows would not fit
  const kept = new Map([...before.rows].filter(([recipe]) => !after.rows.has(recipe)));
  const origins = before.origins.filter((line) => recipesOf(line).some((recipe) => kept.has(recipe)));
  const rows = [...before.rows.keys(), ...after.rows.keys()].map(
    (recipe) => after.rows.get(recipe) ?? kept.get(recipe)!,
  );
  return [
    ...after.intro,
    after.head,
    ...new Set(rows),
    "",
    ...origins.flatMap((line) => [line, ""]),
    ...after.origins,
  ].join("\n");
}

function parts(text: string) {
  const lines = text.split("\n");
  const first = lines.findIndex((line) => line.startsWith("| "));
  const tableLines = lines.filter((line) => line.startsWith("| "));
  return {
    intro: first < 0 ? [] : lines.slice(0, first),
    head: tableLines.slice(0, 2).join("\n"),
    rows: new Map(tableLines.slice(2).map((line) => [line.split(" | ")[0]!.slice(2), line])),
    origins: lines.filter((line) => line.startsWith("Command ")),
  };
}

/** The recipes in the commands of a line, by the names of their rows. */
function recipesOf(origin: string): string[] {
  const lists = [...origin.matchAll(/--recipe (\S+)/g)].map(([, list]) => list!.replaceAll("`", ""));
  return lists.flatMap((list) => list.split(",")).map((recipe) => recipe.replace("ablations/", ""));
}
