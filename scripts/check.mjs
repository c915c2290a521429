/** @file Everything but behaviour: types, style, layers, lockfile, forbidden calls. One line each; exit code 1 on any failure. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");

/** Runs a program of node_modules; its output is the complaint. */
function tool(path, ...args) {
  const script = fileURLToPath(new URL(`node_modules/${path}`, root));
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [script, ...args], {
    cwd: fileURLToPath(root),
    encoding: "utf8",
    maxBuffer: 64 << 20,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return status === 0 ? "" : `${stdout ?? ""}${stderr ?? ""}${error ? error.message : ""}` || `exit code ${status}`;
}

/** A lock made on one platform may lack the others' binaries; `npm ci` then refuses it there. */
function incompleteLock(lock) {
  const missing = [];
  for (const [path, { optionalDependencies = {} }] of Object.entries(lock.packages)) {
    for (const name of Object.keys(optionalDependencies)) {
      if (!resolves(lock.packages, path, name))
        missing.push(`${path || "the package"} wants ${name}, which the lock lacks`);
    }
  }
  return missing.join("\n");
}

/** Looks for node_modules/name beside `path` and in every folder above it, as Node does. */
function resolves(packages, path, name) {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf("node_modules/") - 1))) {
    if (packages[`${at === "" ? "" : `${at}/`}node_modules/${name}`]) return true;
    if (at === "") return false;
  }
}

/** All randomness is keyed (src/base/random.ts): a stream that nobody can replay has no place here. */
function unkeyedRandomness(files) {
  return files
    .flatMap(({ path, text }) => {
      const code = text.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, " "));
      return code
        .split("\n")
        .flatMap((line, i) =>
          /\bMath\s*(\.|\?\.|\[["'`])\s*random\b/.test(line) ? [`${path}:${i + 1} uses Math.random`] : [],
        );
    })
    .join("\n");
}

const sources = () =>
  readdirSync(new URL("src/", root), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => ({ path: `src/${path}`, text: read(`src/${path}`) }));

/** A check that finds nothing in a planted fault has stopped checking. */
function selfTest() {
  const lock = { packages: { "node_modules/a": { optionalDependencies: { b: "1" } } } };
  const planted = [{ path: "x.ts", text: "// Math.random\nconst x = Math.random();" }];
  const faults = [];
  if (incompleteLock(lock) === "") faults.push("an incomplete lock passes");
  if (unkeyedRandomness(planted) !== "x.ts:2 uses Math.random") faults.push("unkeyed randomness passes");
  return faults.join("\n");
}

const checks = {
  types: () => tool("typescript/bin/tsc", "--noEmit", "-p", "tsconfig.json"),
  style: () => tool("@biomejs/biome/bin/biome", "check", "--max-diagnostics=20"),
  layers: () => tool("vitest/vitest.mjs", "run", "test/layers.test.ts", "--reporter=dot"),
  lockfile: () => incompleteLock(JSON.parse(read("package-lock.json"))),
  randomness: () => unkeyedRandomness(sources()),
  "self-test": selfTest,
};

for (const [name, check] of Object.entries(checks)) {
  const complaint = check().trimEnd();
  if (complaint !== "") console.log(complaint);
  console.log(`${name.padEnd(12)}${complaint === "" ? "ok" : "failed"}`);
  if (complaint !== "") process.exitCode = 1;
}
