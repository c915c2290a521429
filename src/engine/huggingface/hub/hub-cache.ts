/**
 * @file The cache of Hugging Face's own tools, so that they and this project find each other's downloads:
 * models--ORG--NAME/{blobs/CHECKSUM, snapshots/COMMIT/FILE → a blob, refs/REVISION = COMMIT}.
 */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { writeAtomically } from "../../../base/files.ts";
import { isCommit } from "./hub-api.ts";

/** The expected checksum: SHA-256 for large-file storage, otherwise git's SHA-1 of the file as a blob. */
export type Checksum = string;

export class HubCache {
  readonly #folder: string;

  constructor(cache: string, repo: string) {
    this.#folder = join(cache, `models--${repo.replace("/", "--")}`);
  }

  /** The path of the content with that checksum, whether it exists or not. */
  blob(checksum: Checksum): string {
    return join(this.#folder, "blobs", checksum);
  }

  /** The path of an unfinished download. */
  partial(checksum: Checksum): string {
    mkdirSync(join(this.#folder, "blobs"), { recursive: true });
    return `${this.blob(checksum)}.incomplete`;
  }

  snapshot(commit: string): string {
    return join(this.#folder, "snapshots", commit);
  }

  /** The commit that a branch or tag pointed to at the last request. */
  commitOf(revision: string): string | undefined {
    const file = join(this.#folder, "refs", revision);
    const commit = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
    return isCommit(commit) ? commit : undefined;
  }

  setCommit(revision: string, commit: string): void {
    const file = join(this.#folder, "refs", revision);
    mkdirSync(dirname(file), { recursive: true });
    writeAtomically(file, commit);
  }

  /** A file of a snapshot with its expected checksum, if the cache records it. */
  file(commit: string, name: string): { readonly path: string; readonly checksum: Checksum | undefined } | undefined {
    const path = join(this.snapshot(commit), name);
    if (!existsSync(path)) return undefined;
    const isLink = lstatSync(path).isSymbolicLink();
    return { path, checksum: isLink ? basename(readlinkSync(path)) : undefined };
  }

  /** Turns a completed partial file into the blob. */
  keep(checksum: Checksum): void {
    if (existsSync(this.partial(checksum))) renameSync(this.partial(checksum), this.blob(checksum));
  }

  link(commit: string, name: string, checksum: Checksum): void {
    const path = join(this.snapshot(commit), name);
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    try {
      symlinkSync(join("..", "..", "blobs", checksum), path);
    } catch {
      copyFileSync(this.blob(checksum), path); // on Windows most users may not create links
    }
  }
}

export async function matches(file: string, checksum: Checksum): Promise<boolean> {
  const isGit = checksum.length === 40;
  const hash = createHash(isGit ? "sha1" : "sha256");
  if (isGit) hash.update(`blob ${statSync(file).size}\0`);
  for await (const chunk of createReadStream(file, { highWaterMark: 4 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex") === checksum;
}
