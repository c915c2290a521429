/** @file The package as npm would publish it, installed in an empty project: its program, its subpaths, and every example. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, posix } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };
import { type InstalledPackage, installPackage, root, run } from "./installed-package.ts";

let installed: InstalledPackage;
beforeAll(async () => {
  installed = await installPackage();
}, 300_000);
afterAll(() => installed?.remove());

const filesOf = (directory: string) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) =>
      join(parentPath, name)
        .slice(directory.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();

/** Runs a module in the project that installed the package and reads the JSON that it prints. */
async function inPlainNode(source: string): Promise<unknown> {
  const file = join(installed.project, "use.mjs");
  writeFileSync(file, source);
  const { stdout } = await run(process.execPath, [file], { cwd: installed.project });
  return JSON.parse(stdout);
}

test("every published subpath is imported by its name and has what it is for", async () => {
  const wanted: Record<keyof typeof packageJson.exports, string> = {
    ".": "train",
    "./protocol": "parseTape",
    "./search": "memorySearcher",
    "./reward": "scoreTrajectory",
    "./engine": "tokenLoss",
    "./rollout": "collectGroups",
    "./rl": "estimateAdvantages",
    "./testing": "engineConformance",
  };
  expect(Object.keys(wanted)).toEqual(Object.keys(packageJson.exports));
  const types = await inPlainNode(`
    const types = {};
    for (const [path, name] of Object.entries(${JSON.stringify(wanted)}))
      types[path] = typeof (await import("r1-searcher" + path.slice(1)))[name];
    console.log(JSON.stringify(types));
  `);
  expect(types).toEqual(Object.fromEntries(Object.keys(wanted).map((path) => [path, "function"])));
});

test("the program, its recipes and a worker of the engine run from the build", async () => {
  const { stdout } = await run(process.execPath, [join(installed.directory, "bin", "r1-searcher.js"), "--version"]);
  expect(stdout.trim()).toBe(packageJson.version);
  // weights that are all 0 give every one of 50 tokens the same probability
  const found = await inPlainNode(`
    import { loadRecipe } from "r1-searcher";
    import { parseModelConfig } from "./node_modules/r1-searcher/dist/engine/huggingface/model-config.js";
    import { OnnxEngine } from "./node_modules/r1-searcher/dist/engine/onnx/engine.js";
    const shape = { model_type: "llama", vocab_size: 50, hidden_size: 32, intermediate_size: 32, num_hidden_layers: 1,
      num_attention_heads: 2 };
    const engine = new OnnxEngine({ config: parseModelConfig(shape, "the test"), workers: 1, threads: 1,
      tokenizer: { vocabSize: 50, bytesOf: () => new Uint8Array() }, training: false, maxSequences: 1,
      contextLength: 16, writePolicy: () => {} });
    const [logprobs] = await engine.logprobs([Int32Array.of(1, 2, 3)]);
    await engine.close();
    console.log(JSON.stringify({ recipe: loadRecipe("nano").name, odds: [...logprobs].map((p) => Math.exp(-p)) }));
  `);
  expect(found).toEqual({ recipe: "nano", odds: [expect.closeTo(50, 3), expect.closeTo(50, 3)] });
});

test("the protocol needs nothing of Node", () => {
  const seen = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(join(installed.directory, "dist", file), "utf8");
    expect(text, file).not.toMatch(/\b(Buffer|process)\./);
    for (const [, from] of text.matchAll(/^(?:import|export|\})[^"';]*["']([^"']+)["'];/gm)) {
      if (from!.startsWith(".")) visit(posix.join(posix.dirname(file), from!));
      else expect(from, `${file} imports it`).toBe("zod"); // which runs in a browser too
    }
  };
  visit("protocol/index.js");
  expect(seen.size).toBeGreaterThan(5);
});

test("the build holds no tests, of the test helpers only what ./testing gives, and every file that code reads", () => {
  const built = filesOf(join(installed.directory, "dist"));
  expect(
    built.filter((file) => /\.test\.|fixtures|testing\//.test(file) && !file.startsWith("engine/testing/")),
  ).toEqual([]);
  expect(built).toContain("engine/testing/conformance.js");
  expect(built).toContain("runtime/kernels-wasm.js"); // the kernels travel as a string in a module
  const assets = filesOf(join(root, "src")).filter((file) => !/(?<!\.d)\.tsx?$/.test(file));
  // sources of what is built already, and declarations for a package that has none
  expect(assets).toEqual(["cli/display/asciichart.d.ts", "runtime/kernels.wat"]);
});

test("npm would publish the program, the build with its types, the models, the recipes, and nothing else", () => {
  const paths = installed.packed;
  const exported = Object.values(packageJson.exports).flatMap(({ types, default: code }) => [types, code]);
  const needed = [...exported, packageJson.bin["r1-searcher"], "bin/r1-searcher.js", "recipes/nano.yaml", "LICENSE"];
  for (const model of ["nano", "nano-searcher"]) needed.push(`models/${model}/model.safetensors`);
  expect(paths).toEqual(expect.arrayContaining(needed.map((path) => path.replace(/^\.\//, ""))));
  const dist = filesOf(join(installed.directory, "dist"));
  expect(paths.filter((path) => path.startsWith("dist/"))).toHaveLength(dist.length);
  expect(dist.filter((file) => file.endsWith(".d.ts")).length).toBeGreaterThan(100);
  expect([...new Set(paths.map((path) => path.split("/")[0]))].sort()).toEqual(
    ["LICENSE", "README.md", "bin", "dist", "models", "package.json", "recipes"].sort(),
  );
});

/** The examples, and what a line of their output must look like. */
const examples: Readonly<Record<string, RegExp>> = {
  "own-engine": /^kept: table: the same key gives the same sample/m,
  "own-environment": /^reward: (\d\.\d+) at first, (\d\.\d+) at the end$/m,
  "own-reward": /^step 2 of 2: reward -?\d\.\d+$/m,
  "own-searcher": /^step 2: \d+ % searched$/m,
  "score-answers": /^reward 1$/m,
  "search-an-index": /^ {2}1\. Jane Austen \(/m,
  "the-loop-on-one-page": /^step 2: reward \d\.\d+$/m,
};

describe("the examples, in a project that installed the package", () => {
  beforeAll(() => {
    cpSync(join(root, "examples"), installed.project, { recursive: true });
    writeFileSync(join(installed.project, "package.json"), JSON.stringify({ type: "module" }));
    const imports = Object.keys(packageJson.exports).map(
      (path, i) => `import * as m${i} from "r1-searcher${path.slice(1)}";`,
    );
    writeFileSync(
      join(installed.project, "everything.ts"),
      `${imports.join("\n")}\nexport { ${imports.map((_, i) => `m${i}`)} };\n`,
    );
  });

  test("are those of the table, each of at most 60 lines", () => {
    const files = readdirSync(join(root, "examples"));
    expect(files.sort()).toEqual(Object.keys(examples).map((name) => `${name}.ts`));
    for (const file of files) {
      const lines = readFileSync(join(root, "examples", file), "utf8")
        .trimEnd()
        .split("\n").length;
      expect(lines, file).toBeLessThanOrEqual(60);
    }
  });

  test.each([
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ])(
    "have no type error, nor has any declaration of the package (module %s, resolution %s)",
    async (module, resolution) => {
      const strict = {
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
      };
      const compilerOptions = {
        ...strict,
        module,
        moduleResolution: resolution,
        noEmit: true,
        verbatimModuleSyntax: true,
      };
      const file = join(installed.project, `tsconfig.${resolution}.json`);
      writeFileSync(
        file,
        JSON.stringify({
          compilerOptions: { ...compilerOptions, target: "es2023", lib: ["es2024"], types: ["node"] },
          include: ["*.ts"],
        }),
      );
      const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
      const result = run(process.execPath, [compiler, "-p", file], { cwd: installed.project });
      expect((await result.catch((cause: { stdout: string }) => cause)).stdout).toBe("");
    },
    300_000,
  );

  test.each(Object.entries(examples))(
    "%s runs",
    async (name, output) => {
      const { stdout } = await run(process.execPath, ["--import", "tsx", `${name}.ts`], { cwd: installed.project });
      expect(stdout).toMatch(output);
    },
    300_000,
  );
});
