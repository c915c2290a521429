/**
 * @file A checkpoint is complete or absent: it is a directory whose files are fsynced and hashed in a manifest that is
 * written last, and one rename makes it visible. The newest directory that verifies is used; there is no separate
 * pointer.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError, isSystemError, messageOf } from "../../base/errors.ts";
import { fsyncDirectory, sha256File, writeDurably } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import { readRemoteReference } from "../../engine/remote-reference.ts";
import { remedyFor } from "./on-disk.ts";

const MANIFEST = "manifest.json";
const CURSOR = "cursor.json";
const FORMAT = "r1-searcher-checkpoint-2";

const ManifestContent = z.strictObject({
  format: z.literal(FORMAT, `not of format ${FORMAT}: made by another version`),
  /** The next step to run. */
  step: z.int().min(0),
  /** Steps whose checkpoints are kept whatever their age. */
  pinned: z.array(z.int()),
  files: z.array(z.strictObject({ name: z.string(), size: z.int().min(0), sha256: z.string() })),
});
type ManifestContent = z.infer<typeof ManifestContent>;

/** Includes a hash of the manifest itself. */
const Manifest = z.strictObject({ ...ManifestContent.shape, sha256: z.string() });

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
    const content: ManifestContent = { format: FORMAT, step, pinned: [...pinned], files };
    const manifest: z.infer<typeof Manifest> = { ...content, sha256: sealOf(content) };
    this.#files.write(join(temporary, MANIFEST), `${toJson(manifest, 2)}\n`);
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
    const checked = await verify(path, step);
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

type Verdict = { cursor: unknown; pinned: readonly number[] } | { fault: string };

async function verify(directory: string, step: number): Promise<Verdict> {
  try {
    const manifest = readManifest(join(directory, MANIFEST));
    if (typeof manifest === "string") return { fault: `${MANIFEST} ${manifest}` };
    if (manifest.step !== step) return { fault: `its ${MANIFEST} is of step ${manifest.step}` };
    const listed = new Set(manifest.files.map(({ name }) => name));
    const unlisted = filesUnder(directory).find((name) => name !== MANIFEST && !listed.has(name));
    if (unlisted !== undefined) return { fault: `${unlisted} is not in its manifest` };
    for (const { name, size, sha256 } of manifest.files) {
      const path = join(directory, name);
      const found = statSync(path);
      if (!found.isFile()) return { fault: `${name} is not a file` };
      if (found.size !== size) return { fault: `${name} has ${found.size} bytes instead of ${size}` };
      if ((await sha256File(path)) !== sha256) return { fault: `${name} has other content than was saved` };
    }
    return { cursor: JSON.parse(readFileSync(join(directory, CURSOR), "utf8")), pinned: manifest.pinned };
  } catch (cause) {
    return { fault: messageOf(cause).replace(/\s+/g, " ") };
  }
}

/** @returns in words what is wrong with it, where something is */
function readManifest(file: string): ManifestContent | string {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    return `cannot be read: ${messageOf(cause).replace(/\s+/g, " ")}`;
  }
  const parsed = Manifest.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return issue ? `is damaged at "${issue.path.join(".")}": ${issue.message}` : "is damaged";
  }
  const { sha256, ...content } = parsed.data;
  return sealOf(content) === sha256 ? content : "has other content than was saved";
}

/** Of what is read, in a fixed order: spaces and the order of keys mean nothing. */
function sealOf({ format, step, pinned, files }: ManifestContent): string {
  const rows = files.map(({ name, size, sha256 }) => [name, size, sha256]);
  return createHash("sha256")
    .update(toJson([format, step, pinned, rows]))
    .digest("hex");
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // no checkpoint yet
  }
}

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(directory.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();
}

function directoriesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
}
