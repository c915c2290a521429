/**
 * @file A checkpoint is complete or absent: it is a directory whose files are fsynced and hashed in a manifest that is
 * written last, and one rename makes it visible. The newest directory that verifies is used; there is no separate
 * pointer.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, isSystemError, messageOf } from "../../base/errors.ts";
import { fsyncDirectory, sha256File, writeDurably } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { readRemoteReference } from "../../engine/remote-reference.ts";
import { CURSOR, filesUnder, MANIFEST, manifestText, verifyCheckpoint } from "./checkpoint-manifest.ts";
import { remedyFor } from "./on-disk.ts";

/** The disk operations of saving a checkpoint; a test replaces them to fail at every point. */
export const checkpointFiles = {
  makeDirectory: (path: string): void => void mkdirSync(path, { recursive: true }),
  write: writeDurably,
  flush: (path: string): void => {
    const handle = openSync(path, process.platform === "win32" ? "r+" : "r"); // files may be read-only copies
    try {
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  },
  hash: sha256File,
  rename: renameSync,
  flushDirectory: fsyncDirectory,
  remove: (path: string): void => rmSync(path, { recursive: true, force: true }),
};

export interface CheckpointStoreOptions {
  readonly directory: string;
  /** Number of newest checkpoints that are always kept; default 2. */
  readonly keep?: number;
  readonly warn: (message: string) => void;
  readonly files?: typeof checkpointFiles;
  /** Deletes what a checkpoint's remote reference names, once the checkpoint is gone. */
  readonly forget?: ((reference: string) => Promise<void>) | undefined;
}

export interface SaveRequest {
  /** The next step to run. */
  readonly step: number;
  /** The state of the run, as JSON. */
  readonly cursor: unknown;
  /** Steps whose checkpoints are kept whatever their age. */
  readonly pinned: readonly number[];
  /** Writes policy and optimiser into the directory. */
  readonly write: (directory: string) => Promise<void>;
}

export interface StoredCheckpoint {
  readonly directory: string;
  readonly step: number;
  readonly pinned: readonly number[];
  readonly cursor: unknown;
}

export function checkpointName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

/** The caller must hold the run's lock. */
export class CheckpointStore {
  readonly #directory: string;
  readonly #keep: number;
  readonly #warn: (message: string) => void;
  readonly #files: typeof checkpointFiles;
  readonly #forget: CheckpointStoreOptions["forget"];

  constructor({ directory, keep = 2, warn, files = checkpointFiles, forget }: CheckpointStoreOptions) {
    this.#directory = directory;
    this.#keep = Math.max(1, keep);
    this.#warn = warn;
    this.#files = files;
    this.#forget = forget;
  }

  /** @throws CheckpointError if writing fails; existing checkpoints are not affected */
  async save({ step, cursor, pinned, write }: SaveRequest): Promise<void> {
    const name = checkpointName(step);
    const temporary = join(this.#directory, `.tmp-${name}`);
    try {
      this.#files.remove(temporary);
      this.#files.makeDirectory(temporary);
      await write(temporary);
      this.#files.write(join(temporary, CURSOR), `${toJson(cursor, 2)}\n`);
      await this.#seal(temporary, step, pinned);
      await this.#publish(temporary, name);
    } catch (cause) {
      await this.#removeQuietly(temporary);
      if (!isSystemError(cause)) throw cause; // named already, or a bug
      throw new CheckpointError(`checkpoint ${name} could not be saved in ${this.#directory}: ${messageOf(cause)}`, {
        hint: `${remedyFor(cause)}, then continue with --resume; earlier checkpoints are intact`,
        cause,
      });
    }
    await this.#retire(step, pinned);
  }

  /**
   * The newest checkpoint that verifies; damaged ones are named in a warning.
   * @throws CheckpointError if there are checkpoints and none verifies: starting over must be the user's decision
   */
  async newest(): Promise<StoredCheckpoint | undefined> {
    const found = await newestCheckpoint(this.#directory, this.#warn);
    if (found) await this.#retire(found.step, found.pinned); // a crash may have come between a save and this
    return found;
  }

  /** Ascending; complete or not. */
  steps(): number[] {
    return stepsIn(this.#directory);
  }

  /** Removes what a crash left half-made. */
  async tidy(): Promise<void> {
    for (const entry of entriesOf(this.#directory)) {
      if (entry.startsWith(".tmp-") || entry.startsWith(".replaced-"))
        await this.#removeQuietly(join(this.#directory, entry));
    }
  }

  async #seal(temporary: string, step: number, pinned: readonly number[]): Promise<void> {
    const names = filesUnder(temporary);
    const files = [];
    for (const name of names) {
      const path = join(temporary, name);
      this.#files.flush(path);
      files.push({ name, size: statSync(path).size, sha256: await this.#files.hash(path) });
    }
    for (const inner of directoriesUnder(temporary)) this.#files.flushDirectory(join(temporary, inner));
    this.#files.write(join(temporary, MANIFEST), manifestText({ step, pinned: [...pinned], files }));
    this.#files.flushDirectory(temporary);
  }

  async #publish(temporary: string, name: string): Promise<void> {
    const target = join(this.#directory, name);
    if (entriesOf(this.#directory).includes(name)) {
      const replaced = join(this.#directory, `.replaced-${name}`);
      this.#files.remove(replaced);
      this.#files.rename(target, replaced); // a damaged one, or one from after the step to which the run went back
      this.#files.rename(temporary, target);
      await this.#removeQuietly(replaced);
    } else {
      this.#files.rename(temporary, target);
    }
    this.#files.flushDirectory(this.#directory);
  }

  /** Counts from `newest`: what lies behind it is damaged and must not crowd out what is whole. */
  async #retire(newest: number, pinned: readonly number[]): Promise<void> {
    const older = this.steps().filter((step) => step <= newest);
    for (const step of older.slice(0, -this.#keep)) {
      if (!pinned.includes(step)) await this.#removeQuietly(join(this.#directory, checkpointName(step)));
    }
  }

  /** The folder first: a reference that lives on costs space, a checkpoint without its weights would look whole. */
  async #removeQuietly(path: string): Promise<void> {
    let reference: string | undefined;
    try {
      reference = readRemoteReference(path)?.reference;
      this.#files.remove(path);
    } catch (cause) {
      return this.#warn(`${path} could not be removed: ${messageOf(cause)}`);
    }
    if (reference === undefined) return;
    await this.#forget?.(reference).catch((cause: unknown) =>
      this.#warn(`${reference}, which ${path} referred to, could not be deleted: ${messageOf(cause)}`),
    );
  }
}

/** Like `CheckpointStore.newest`, but read-only, so the run may continue meanwhile. */
export async function newestCheckpoint(
  directory: string,
  warn: (message: string) => void,
): Promise<StoredCheckpoint | undefined> {
  const faults: string[] = [];
  for (const step of stepsIn(directory).toReversed()) {
    const path = join(directory, checkpointName(step));
    const checked = await verifyCheckpoint(path, step);
    if ("cursor" in checked) return { directory: path, step, ...checked };
    faults.push(`checkpoint ${path} is damaged (${checked.fault})`);
    warn(`${faults.at(-1)}; trying the one before it`);
  }
  if (faults.length === 0) return undefined;
  throw new CheckpointError(`no checkpoint in ${directory} is whole: ${faults.join("; ")}`, {
    hint: "restore one from a copy, or start a new run in another folder",
  });
}

/** Of the checkpoints in a folder, ascending; whole or not. */
export function stepsIn(directory: string): number[] {
  return entriesOf(directory)
    .flatMap((entry) => /^step-(\d{6,})$/.exec(entry)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // no checkpoint yet
  }
}

function directoriesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
}
