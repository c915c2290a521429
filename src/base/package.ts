/** @file This package: the paths of its files, and its version. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The path of a file or folder that is part of the package, such as `models/nano`. */
export function packagePath(path: string): string {
  return join(root, path);
}

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(packagePath("package.json"), "utf8")) as { version: string };
  return version;
}

let known: string | undefined;

/** "r1-searcher 0.1.0", with the commit if it runs from a git clone. Git is called once per process. */
export function describeProgram(): string {
  known ??= [`r1-searcher ${packageVersion()}`, commitOf(root)].filter(Boolean).join(", commit ");
  return known;
}

function commitOf(directory: string): string | undefined {
  if (!existsSync(join(directory, ".git"))) return undefined;
  try {
    const git = (...words: string[]) =>
      execFileSync("git", words, { cwd: directory, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    const isChanged = git("status", "--porcelain", "--untracked-files=no") !== "";
    return `${git("rev-parse", "--short=12", "HEAD")}${isChanged ? " with changes" : ""}`;
  } catch {
    return undefined; // git is not installed
  }
}
