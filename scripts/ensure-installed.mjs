/**
 * @file Installs from the lockfile where `node_modules` is missing or older than the lock; silent otherwise.
 * Runs before start, test and check, so that each works straight after a clone. Uses nothing but Node.
 */
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../", import.meta.url);
const writtenAt = (path) => statSync(new URL(path, root), { throwIfNoEntry: false })?.mtimeMs;

// npm writes its hidden lock last, so an install that was broken off counts as missing
const installed = writtenAt("node_modules/.package-lock.json");
const locked = writtenAt("package-lock.json");

if (installed === undefined || (locked !== undefined && installed < locked)) {
  const why = installed === undefined ? "node_modules is missing" : "node_modules is older than package-lock.json";
  console.error(`r1-searcher: ${why}; installing from the lockfile (once, about half a minute) …`);
  process.exitCode = install();
}

function install() {
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith("npm-cli.js") ? [process.execPath, [npm]] : ["npm", []];
  const { status, error } = spawnSync(command, [...first, "ci", "--include=dev", "--no-progress"], {
    cwd: fileURLToPath(root),
    stdio: ["ignore", 2, 2], // what the user asked for may print a result on stdout
    shell: command === "npm" && process.platform === "win32",
  });
  if (status === 0) return 0;
  console.error(
    `r1-searcher: npm ci failed${error ? ` (${error.message})` : ""}; see its messages above, then run \`npm ci\` by hand`,
  );
  return status || 1;
}
