/** @file The package as npm would publish it: built, laid out in a folder of its own, and used by plain Node. */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };

const run = promisify(execFile);
const root = fileURLToPath(new URL("../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "r1-searcher-package-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const filesOf = (directory: string) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) =>
      join(parentPath, name)
        .slice(directory.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();

beforeAll(async () => {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  await run(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json"), "--outDir", join(folder, "dist")]);
  for (const name of ["package.json", "README.md", "LICENSE", "bin", "models", "recipes"])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
});

/** Runs a module beside the package's own files and reads the JSON that it prints. */
async function inPlainNode(source: string): Promise<unknown> {
  const file = join(folder, "use.mjs");
  writeFileSync(file, source);
  const { stdout } = await run(process.execPath, [file], { cwd: folder });
  return JSON.parse(stdout);
}

test("every published subpath is imported by its name and has what it is for", async () => {
  const wanted: Record<keyof typeof packageJson.exports, string> = {
    ".": "runTraining",
    "./protocol": "parseTape",
    "./search": "memorySearcher",
    "./reward": "scoreTrajectory",
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
  const { stdout } = await run(process.execPath, [join(folder, "bin", "r1-searcher.js"), "--version"]);
  expect(stdout.trim()).toBe(packageJson.version);
  // weights that are all 0 give every one of 50 tokens the same probability
  const found = await inPlainNode(`
    import { loadRecipe } from "r1-searcher";
    import { parseModelConfig } from "./dist/engine/huggingface/model-config.js";
    import { OnnxEngine } from "./dist/engine/onnx/engine.js";
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
    const text = readFileSync(join(folder, "dist", file), "utf8");
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
  const built = filesOf(join(folder, "dist"));
  expect(
    built.filter((file) => /\.test\.|fixtures|testing\//.test(file) && !file.startsWith("engine/testing/")),
  ).toEqual([]);
  expect(built).toContain("engine/testing/conformance.js");
  expect(built).toContain("runtime/kernels-wasm.js"); // the kernels travel as a string in a module
  const assets = filesOf(join(root, "src")).filter((file) => !/(?<!\.d)\.tsx?$/.test(file));
  // sources of what is built already, and declarations for a package that has none
  expect(assets).toEqual(["cli/display/asciichart.d.ts", "runtime/kernels.wat"]);
});

test("npm would publish the program, the build with its types, the models, the recipes, and nothing else", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: folder,
    shell: process.platform === "win32",
    maxBuffer: 64 << 20,
  });
  const [pack] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const paths = pack.files.map(({ path }) => path);
  const exported = Object.values(packageJson.exports).flatMap(({ types, default: code }) => [types, code]);
  const needed = [...exported, packageJson.bin["r1-searcher"], "bin/r1-searcher.js", "recipes/nano.yaml", "LICENSE"];
  for (const model of ["nano", "nano-searcher"]) needed.push(`models/${model}/model.safetensors`);
  expect(paths).toEqual(expect.arrayContaining(needed.map((path) => path.replace(/^\.\//, ""))));
  expect(paths.filter((path) => path.startsWith("dist/"))).toHaveLength(filesOf(join(folder, "dist")).length);
  expect([...new Set(paths.map((path) => path.split("/")[0]))].sort()).toEqual(
    ["LICENSE", "README.md", "bin", "dist", "models", "package.json", "recipes"].sort(),
  );
});
