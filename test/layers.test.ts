/** @file Imports only go down; concrete parts are chosen in `run/` alone; nothing below it knows the terminal. */
import { posix } from "node:path";
import { describe, expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };
import { importsOf, isTest, type SourceFile, sourceFiles, targetOf } from "./source-tree.ts";

/** What each folder may import besides itself and `base`. Lowest first. docs/architecture.md prints it. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  runtime: [],
  protocol: [],
  engine: ["runtime"],
  data: ["protocol"],
  search: ["protocol", "runtime"],
  reward: ["protocol", "data"],
  rollout: ["protocol", "search", "engine"],
  eval: ["protocol", "data", "reward", "rollout", "engine"],
  rl: ["protocol", "reward", "rollout", "engine"],
  run: ["runtime", "protocol", "engine", "data", "search", "reward", "rollout", "eval", "rl"],
  serve: ["runtime", "protocol", "engine", "data", "search", "reward", "rollout", "eval", "rl", "run"],
  studio: ["protocol", "run"],
  cli: ["runtime", "protocol", "engine", "data", "search", "reward", "rollout", "eval", "rl", "run", "serve", "studio"],
};

/** What each room of `run/` may import besides itself, of the other rooms. Lowest first. */
const roomMayImport: Readonly<Record<string, readonly string[]>> = {
  recipe: [],
  store: ["recipe"],
  engines: ["recipe", "store"],
  search: ["recipe", "store"],
  policy: ["recipe", "store", "engines"],
  evaluate: ["recipe", "store", "engines", "search"],
  train: ["recipe", "store", "engines", "search", "policy", "evaluate"],
  pretrain: ["recipe", "store", "engines", "policy"],
};

/** Folders that hold one implementation of an interface: outside their own layer only `run` and what is above it name them. */
const concrete = [
  "engine/onnx/",
  "engine/tinker/",
  "engine/openai/",
  "search/bm25/",
  "search/dense/",
  "search/hybrid/",
  "search/remote/",
  "search/web/",
];
const mayNameConcrete = ["run", "serve", "cli"];

/** Packages that one layer owns, so that replacing one touches one place. */
const ownedPackages: Readonly<Record<string, string>> = {
  "onnxruntime-node": "runtime",
  "onnx-buf": "runtime",
  "@huggingface/tokenizers": "engine",
  "@huggingface/jinja": "engine",
  "@huggingface/gguf": "engine",
  "@hono/node-server": "base",
  undici: "base",
  "p-retry": "base",
  pg: "search",
  "@hono/zod-openapi": "serve",
  "@modelcontextprotocol/sdk": "serve",
  commander: "cli",
  "@commander-js/extra-typings": "cli",
  "cli-progress": "cli",
  "cli-table3": "cli",
  asciichart: "cli",
  picocolors: "cli",
};

const folderOf = (path: string) => (path.includes("/") ? path.slice(0, path.indexOf("/")) : "");

function layerFaults(file: SourceFile): string[] {
  const here = folderOf(file.path);
  if (here === "") return []; // src/*.ts are the published entry points
  const allowed = mayImport[here];
  if (!allowed) return [`${file.path} lies in "${here}", a folder that the layer table does not have`];
  return importsOf(file).flatMap((specifier) => {
    if (!specifier.startsWith(".")) {
      const owner = Object.entries(ownedPackages).find(
        ([name]) => specifier === name || specifier.startsWith(`${name}/`),
      )?.[1];
      return owner === undefined || owner === here
        ? []
        : [`${file.path} imports ${specifier}, which only ${owner} may`];
    }
    const target = targetOf(file.path, specifier);
    const there = folderOf(target);
    if (there !== here && there !== "base" && !allowed.includes(there)) {
      return [`${file.path} imports ${target}: ${here} may not import ${there === "" ? "an entry point" : there}`];
    }
    if (here === "run" && there === "run") return roomFault(file.path, target);
    const named = concrete.find((folder) => target.startsWith(folder));
    if (named && there !== here && !mayNameConcrete.includes(here)) {
      return [`${file.path} imports ${target}: only run chooses a concrete part, take the interface`];
    }
    return [];
  });
}

function roomFault(path: string, target: string): string[] {
  const [here, there] = [path, target].map((file) => folderOf(file.slice("run/".length)));
  const allowed = roomMayImport[here!];
  if (!allowed) return [`${path} lies in no room of run/ that the table has`];
  return here === there || allowed.includes(there!) ? [] : [`${path} imports ${target}: run/${here} may not import it`];
}

/** A folder's index.ts exists only where package.json publishes it; inside, files import each other by name. */
function barrelFaults(paths: readonly string[], published: readonly string[]): string[] {
  return paths
    .filter((path) => posix.basename(path) === "index.ts" && !published.includes(path))
    .map((path) => `${path} is a barrel that package.json does not publish`);
}

/** The command line is one file's business: everything else gets values and throws errors. */
function processFaults({ path, text }: SourceFile): string[] {
  if (path === "cli/main.ts" || path.includes("/testing/")) return []; // a test may make a thread end itself
  return [...text.matchAll(/\bprocess\.(argv|exit|exitCode)\b/g)].map(
    ([use]) => `${path} uses ${use}, which belongs to cli/main.ts`,
  );
}

const files = sourceFiles("src").filter(({ path }) => !isTest(path));

const published = Object.values(packageJson.exports).map(({ default: file }) =>
  file.replace(/^\.\/dist\/(.*)\.js$/, "$1.ts"),
);

describe("the source tree", () => {
  test("has files to look at", () => {
    expect(files.length).toBeGreaterThan(20);
  });

  test("imports only downwards", () => {
    expect(files.flatMap(layerFaults)).toEqual([]);
  });

  test("has no barrel that is not published", () => {
    expect(
      barrelFaults(
        files.map(({ path }) => path),
        published,
      ),
    ).toEqual([]);
  });

  test("reads argv and sets exit codes in one file", () => {
    expect(files.flatMap(processFaults)).toEqual([]);
  });
});

describe("a planted fault is found", () => {
  test.each([
    ["an upward import", "reward/f1.ts", 'import { train } from "../rl/trainer.ts";', "reward may not import rl"],
    ["an upward type", "rl/trainer.ts", 'import type { Options } from "../cli/main.ts";', "rl may not import cli"],
    [
      "a dynamic import",
      "protocol/parse.ts",
      'const x = await import("../search/corpus.ts");',
      "protocol may not import search",
    ],
    ["a re-export", "engine/extra.ts", 'export * from "../protocol/tape.ts";', "engine may not import protocol"],
    ["a worker", "reward/judge.ts", 'new URL("../engine/worker", import.meta.url)', "reward may not import engine"],
    ["an entry point", "data/world/a.ts", 'import { x } from "../../index.ts";', "data may not import an entry point"],
    ["a concrete searcher", "rollout/episode.ts", 'import { open } from "../search/bm25/open.ts";', "only run chooses"],
    [
      "a concrete engine",
      "rl/trainer.ts",
      'import { OnnxEngine } from "../engine/onnx/engine.ts";',
      "only run chooses",
    ],
    ["another layer's package", "rl/trainer.ts", 'import * as ort from "onnxruntime-node";', "which only runtime may"],
    ["an unknown folder", "misc/a.ts", "", "the layer table does not have"],
    [
      "a room that looks up",
      "run/store/run-folder.ts",
      'import type { X } from "../train/run-training.ts";',
      "run/store may not import it",
    ],
    ["a file beside the rooms", "run/extra.ts", 'import { x } from "./recipe/recipe.ts";', "lies in no room"],
  ])("%s", (_, path, text, fault) => {
    expect(layerFaults({ path, text }).join("\n")).toContain(fault);
  });

  test("but an import that goes down, or stands in a comment or a string, is none", () => {
    const text = `// import { x } from "../cli/main.ts";
      const words = 'import { y } from "../cli/main.ts"';
      import { fsyncDirectory } from "../base/files.ts";
      import { randomOf } from "node:crypto";
      import { z } from "../protocol/tape.ts";
      const recipes = new URL("../../recipes/", import.meta.url);`;
    expect(layerFaults({ path: "reward/f1.ts", text })).toEqual([]);
  });

  test("a barrel and a stray exit", () => {
    expect(barrelFaults(["index.ts", "rl/index.ts"], ["index.ts"])).toEqual([
      "rl/index.ts is a barrel that package.json does not publish",
    ]);
    expect(processFaults({ path: "rl/trainer.ts", text: "process.exit(1)" })).toEqual([
      "rl/trainer.ts uses process.exit, which belongs to cli/main.ts",
    ]);
  });
});
