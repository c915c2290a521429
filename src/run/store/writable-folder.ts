import { closeSync, existsSync, mkdirSync, openSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ConfigError, messageOf } from "../../base/errors.ts";

/**
 * Creates a folder with its parents, and checks that files can be created in it.
 * @param option the option that names it, for the hint
 * @returns removes the created folders, as far as they are empty
 * @throws ConfigError naming the folder
 */
export function makeWritable(directory: string, option = "--out"): () => void {
  const made: string[] = [];
  const undo = () => {
    for (const folder of made.toReversed()) removeIfEmpty(folder);
  };
  try {
    for (const folder of missingFolders(directory)) {
      mkdirSync(folder);
      made.push(folder);
    }
    const probe = join(directory, `run.lock.probe-${process.pid}`);
    closeSync(openSync(probe, "w"));
    rmSync(probe, { force: true });
    return undo;
  } catch (cause) {
    undo();
    throw new ConfigError(`${directory} cannot be written: ${messageOf(cause)}`, {
      hint: `name another folder with ${option}`,
      cause,
    });
  }
}

/** Uppermost first. `mkdir` with `recursive` never returns on a file system that takes no folders (/proc). */
function missingFolders(directory: string): string[] {
  const missing: string[] = [];
  let at = resolve(directory);
  while (!existsSync(at) && dirname(at) !== at) {
    missing.unshift(at);
    at = dirname(at);
  }
  return missing;
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // somebody has put something there
  }
}
