/** @file The package as npm would publish it, packed and laid out in an empty project, without a network. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import packageJson from "../package.json" with { type: "json" };

export const run = promisify(execFile);
export const root = fileURLToPath(new URL("../", import.meta.url));

export interface InstalledPackage {
  /** A project that has installed the package and nothing else. */
  readonly project: string;
  /** Where the package lies in it. */
  readonly directory: string;
  /** Paths that the packed file holds, without its "package/". */
  readonly packed: readonly string[];
  readonly remove: () => void;
}

/**
 * Builds, packs and unpacks. Dependencies are links to those of this checkout, and only those are linked that
 * package.json names as needed at run time; `@types/node` is there for programs that are type-checked.
 */
export async function installPackage(): Promise<InstalledPackage> {
  const folder = mkdtempSync(join(tmpdir(), "r1-searcher-package-"));
  const source = join(folder, "source");
  await run(process.execPath, [join(root, "scripts", "build.mjs"), join(source, "dist"), "--no-check"]);
  for (const name of ["package.json", "README.md", "LICENSE", "bin", "models", "recipes"])
    cpSync(join(root, name), join(source, name), { recursive: true });
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
    cwd: source,
    shell: process.platform === "win32",
    maxBuffer: 64 << 20,
  });
  const [pack] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  const project = join(folder, "project");
  const directory = join(project, "node_modules", packageJson.name);
  mkdirSync(directory, { recursive: true });
  await run("tar", ["-xzf", join(folder, pack.filename), "--strip-components=1", "-C", directory]);
  for (const name of [...Object.keys(packageJson.dependencies), "@types/node"]) {
    const link = join(project, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, "node_modules", name), link, "junction");
  }
  return {
    project,
    directory,
    packed: pack.files.map(({ path }) => path),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
