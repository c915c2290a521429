/** @file The package with its sources compiled, in a folder of its own: a program starts from it in a third of the time. */
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Compiles `src/` without checking its types, and lays it out as the published package is. @returns the folder */
export function compilePackage(into: string): string {
  rmSync(into, { recursive: true, force: true });
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  const { outputFiles } = buildSync({
    entryPoints: sources.filter((path) => /(?<!\.test)\.ts$/.test(path)).map((path) => join(root, "src", path)),
    ...{ outbase: join(root, "src"), outdir: join(into, "dist"), write: false, logLevel: "error" },
    ...{ format: "esm", platform: "node", target: "node20" },
  });
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text.replace(/(["'])(\.{1,2}\/[^"'\n]+)\.ts\1/g, "$1$2.js$1")); // imports name sources
  }
  bundleWorkers(sources, into);
  for (const name of ["bin", "recipes", "package.json"])
    cpSync(join(root, name), join(into, name), { recursive: true });
  for (const name of ["models", "node_modules"]) symlinkSync(join(root, name), join(into, name), "junction");
  return into;
}

/** A worker thread loads one file in place of sixty, which is most of what its start takes. Native code stays outside. */
function bundleWorkers(sources: readonly string[], into: string): void {
  const workers = sources.filter((path) => /(^|[\\/-])worker\.ts$/.test(path));
  buildSync({
    entryPoints: workers.map((path) => join(root, "src", path)),
    ...{
      outbase: join(root, "src"),
      outdir: join(into, "dist"),
      bundle: true,
      allowOverwrite: true,
      logLevel: "error",
    },
    ...{ format: "esm", platform: "node", target: "node20", external: ["onnxruntime-node", "linkedom", "unpdf"] },
  });
}
