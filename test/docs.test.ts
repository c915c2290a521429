/** @file The docs speak of files that exist; a walk through files that were renamed misleads more than none. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };
import { importsOf, type SourceFile, sourceFiles, targetOf } from "./source-tree.ts";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
const docs = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(new URL("docs/", root), { recursive: true, encoding: "utf8" }).map(
    (path) => `docs/${path.replaceAll("\\", "/")}`,
  ),
].filter((path) => path.endsWith(".md"));

test.each(docs)("%s names files and links that exist", (path) => {
  const named = [...read(path).matchAll(/`((?:src|test|scripts|bin|docs)\/[^`\s*<>]+)`/g)].map(
    ([, name]) => new URL(name!, root),
  );
  const linked = [...read(path).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map(
    ([, link]) => new URL(link!, new URL(path, root)),
  );
  expect(
    [...named, ...linked].filter((url) => !existsSync(url)).map(({ pathname }) => pathname.slice(root.pathname.length)),
  ).toEqual([]);
});

describe("the walks of docs/architecture.md", () => {
  const sources = new Map(sourceFiles("src").map((file) => [file.path, file]));
  const section = read("docs/architecture.md").split("## Three walks")[1]!.split("\n## ")[0]!;
  const walks = section
    .split("\n### ")
    .slice(1)
    .map((text) => [text.split("\n")[0]!, filesIn(text)] as const);

  test("are three", () =>
    expect(walks.map(([title]) => title)).toEqual(["One training step", "One query", "One setting"]));

  test.each(walks)("%s passes through at most 15 files, each joined to an earlier one by an import", (_, files) => {
    expect(files.length).toBeGreaterThan(5);
    expect(files.length).toBeLessThanOrEqual(15);
    expect(unconnected(files, sources)).toEqual([]);
  });

  test("a file that the others do not import would be noticed", () => {
    const files = ["rl/training-loop.ts", "rl/trainer.ts", "protocol/passage.ts", "nowhere.ts"];
    expect(unconnected(files, sources)).toEqual(["protocol/passage.ts", "nowhere.ts"]);
  });
});

/** The files below src/ that a text names, each once, in order. */
function filesIn(text: string): string[] {
  return [...new Set([...text.matchAll(/`src\/([^`]+\.ts)`/g)].map(([, path]) => path!))];
}

/** Those that exist not, or that neither import one named before them nor are imported by one. */
function unconnected(paths: readonly string[], sources: ReadonlyMap<string, SourceFile>): string[] {
  const targets = (path: string) => {
    const file = sources.get(path);
    return file ? importsOf(file).map((specifier) => targetOf(path, specifier)) : [];
  };
  return paths.filter((path, i) => {
    if (!sources.has(path)) return true;
    const before = paths.slice(0, i);
    return i > 0 && !before.some((other) => targets(other).includes(path) || targets(path).includes(other));
  });
}

test("every runtime dependency has its reason, and no other is explained", () => {
  const rows = read("docs/dependencies.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  const explained = rows.flatMap((line) => [...line.split("|")[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
  expect(explained.sort()).toEqual(Object.keys(packageJson.dependencies).sort());
});
