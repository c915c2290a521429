/**
 * @file Allows one writer per folder. The lock file names its holder, so the lock of a dead process can be taken over.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { basename, join, resolve } from "node:path";
import { ConfigError } from "../../base/errors.ts";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Start time of the process according to the system, because pids are reused. Empty if the system does not tell. */
  readonly started: string;
}

/** @throws ConfigError if a living process holds it */
export function lockRun(directory: string): { release(): void } {
  return lock(directory, join(directory, "run.lock"));
}

/** A lock file beside an index, because a rebuild replaces the index folder itself. @throws ConfigError as above */
export function lockIndex(directory: string): { release(): void } {
  return lock(directory, `${resolve(directory)}.lock`);
}

function lock(directory: string, file: string): { release(): void } {
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), started: startOf(process.pid) } satisfies Holder);
  if (!place(file, mine)) {
    const text = contentOf(file);
    const holder = holderOf(text);
    if (holder && isAlive(holder)) throw inUse(directory, file, holder);
    const stale = `${file}.stale-${process.pid}`;
    rename(file, stale);
    const moved = contentOf(stale);
    if (moved !== text || !place(file, mine)) {
      if (moved !== text && moved !== undefined) place(file, moved); // another process has taken over the lock first
      rmSync(stale, { force: true });
      throw inUse(directory, file, holderOf(contentOf(file)));
    }
    rmSync(stale, { force: true });
  }
  return {
    release: () => {
      if (contentOf(file) === mine) rmSync(file, { force: true });
    },
  };
}

/** Creates the file with its whole content or not at all. */
function place(file: string, content: string): boolean {
  const draft = `${file}.draft-${process.pid}`;
  try {
    writeFileSync(draft, content);
  } catch (cause) {
    rmSync(draft, { force: true });
    throw cause;
  }
  try {
    linkSync(draft, file);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    return createExclusively(file, content); // the file system does not support links
  } finally {
    rmSync(draft, { force: true });
  }
}

function createExclusively(file: string, content: string): boolean {
  try {
    writeFileSync(file, content, { flag: "wx" });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw cause;
  }
}

function rename(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
  }
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function holderOf(text: string | undefined): Holder | undefined {
  try {
    const holder = JSON.parse(text ?? "") as Partial<Holder>;
    // 0 and negative numbers mean groups of processes to the system, which always exist
    return Number.isSafeInteger(holder.pid) && holder.pid! >= 1
      ? { pid: holder.pid!, host: String(holder.host), started: String(holder.started) }
      : undefined;
  } catch {
    return undefined;
  }
}

/** A process on another machine cannot be checked, so it counts as alive. */
function isAlive({ pid, host, started }: Holder): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "EPERM";
  }
  const now = startOf(pid);
  return now === "" || started === "" || now === started;
}

/** Field 22 of Linux's /proc/<pid>/stat; the program name before it may contain spaces and brackets. */
function startOf(pid: number): string {
  const stat = contentOf(`/proc/${pid}/stat`);
  return stat === undefined ? "" : (stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "");
}

function inUse(directory: string, file: string, holder: Holder | undefined): ConfigError {
  const who = holder ? `process ${holder.pid} on ${holder.host}` : "another process";
  return new ConfigError(`${directory} is in use by ${who}`, {
    hint: `wait for it or stop it; if it is gone from another machine, delete ${basename(file)}`,
  });
}
