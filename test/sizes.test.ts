/** @file Files that a newcomer can read in one sitting, functions that fit a screen, and no imports in a circle. */
import { describe, expect, test } from "vitest";
import { circles, isTest, longFunctions, type SourceFile, sourceFiles } from "./source-tree.ts";

const mostLines = 300;
const mostFunctionLines = 50;
const mostMedianLines = 80;

const folders = ["src", "test", "bench", "scripts", "examples"];
const files = folders.flatMap((folder) =>
  sourceFiles(folder).map(({ path, text }): SourceFile => ({ path: `${folder}/${path}`, text })),
);

const linesOf = ({ text }: SourceFile) => text.split("\n").length - 1;

const longFiles = (of: readonly SourceFile[]) =>
  of.filter((file) => linesOf(file) > mostLines).map((file) => `${file.path} has ${linesOf(file)} lines`);

describe("the source tree", () => {
  test(`has no file over ${mostLines} lines`, () => {
    expect(files.length).toBeGreaterThan(300);
    expect(longFiles(files)).toEqual([]);
  });

  test(`has no function over ${mostFunctionLines} lines outside tests`, () => {
    const code = files.filter(({ path }) => !isTest(path));
    expect(code.flatMap((file) => longFunctions(file, mostFunctionLines))).toEqual([]);
  });

  test(`has files of at most ${mostMedianLines} lines in the median`, () => {
    const lengths = files
      .filter(({ path }) => path.startsWith("src/") && !isTest(path))
      .map(linesOf)
      .sort((a, b) => a - b);
    expect(lengths[lengths.length >> 1]).toBeLessThanOrEqual(mostMedianLines);
  });

  test("has no imports in a circle, types included", () => {
    expect(circles(files.filter(({ path }) => !isTest(path)))).toEqual([]);
  });
});

describe("a planted fault is found", () => {
  test("a long file and a long function", () => {
    const body = "  work();\n".repeat(mostLines);
    const file = { path: "a.ts", text: `export function long() {\n${body}}\n` };
    expect(longFiles([file])).toEqual(["a.ts has 302 lines"]);
    expect(longFunctions(file, mostFunctionLines)).toEqual(["a.ts:1, 302 lines"]);
    expect(longFunctions({ path: "a.ts", text: "const short = () => 1;\n" }, mostFunctionLines)).toEqual([]);
  });

  test("a circle of three, one through a type, and a file that imports itself", () => {
    const planted = [
      { path: "x/a.ts", text: 'import { b } from "../y/b.ts";' },
      { path: "y/b.ts", text: 'import type { C } from "./c.ts";' },
      { path: "y/c.ts", text: 'export * from "../x/a.ts";' },
      { path: "y/d.ts", text: 'import { a } from "../x/a.ts"; import { readFileSync } from "node:fs";' },
      { path: "z.ts", text: 'import { z } from "./z.ts";' },
    ];
    expect(circles(planted)).toEqual([["x/a.ts", "y/b.ts", "y/c.ts"], ["z.ts"]]);
  });
});
