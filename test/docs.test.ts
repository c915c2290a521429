/** @file The docs speak of files that exist; a walk through files that were renamed misleads more than none. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };

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

test("the walk through one training step names at most 8 files", () => {
  const walk = read("docs/architecture.md").split("## One training step")[1]!.split("\n## ")[0]!;
  const files = new Set(walk.match(/`src\/[^`]+\.ts`/g));
  expect(files.size).toBeGreaterThan(4);
  expect(files.size).toBeLessThanOrEqual(8);
});

test("every runtime dependency has its reason, and no other is explained", () => {
  const rows = read("docs/dependencies.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  const explained = rows.flatMap((line) => [...line.split("|")[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
  expect(explained.sort()).toEqual(Object.keys(packageJson.dependencies).sort());
});
