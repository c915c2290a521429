/**
 * @file Downloads a model from a hub into the cache, and from there into a folder. The commit is resolved once and
 * recorded first, so that an interrupted download continues with the same files even if the branch has moved.
 */
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import pLimit from "p-limit";
import { z } from "zod";
import { ConfigError, EngineError, InterruptedError, messageOf } from "../../../base/errors.ts";
import { writeAtomically } from "../../../base/files.ts";
import { type FileClient, fileClient } from "../../../base/http/file-client.ts";
import { HttpError } from "../../../base/http/http-error.ts";
import { toJson } from "../../../base/jsonl.ts";
import { readModelConfig } from "../model-config.ts";
import { SINGLE, shardsOf } from "../shard-index.ts";
import { askHub, checkRepo, checkRevision, GitHash, type HubFile, type HubModel, isCommit } from "./hub-api.ts";
import { HubCache, matches } from "./hub-cache.ts";
import type { HubSettings } from "./hub-settings.ts";
import { loadFile } from "./load-file.ts";
import { smallFilesOf } from "./model-files.ts";

export interface GetOptions {
  /** ORG/NAME. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** The folder that receives a copy besides the cache, if any. */
  readonly directory?: string | undefined;
  readonly hub: HubSettings;
  readonly signal?: AbortSignal | undefined;
  readonly onMessage?: (text: string) => void;
  readonly onProgress?: (progress: GetProgress) => void;
  readonly stallMs?: number;
}

export interface GetProgress {
  /** Bytes present, of the total of all files. */
  readonly bytes: number;
  readonly total: number;
}

export interface GotModel {
  readonly directory: string;
  readonly repo: string;
  readonly revision: string;
  readonly commit: string;
  readonly license: string | undefined;
  readonly files: readonly HubFile[];
  /** Bytes that were downloaded in this call. */
  readonly loadedBytes: number;
}

/** The record in the folder of a model that came from a hub. */
export const sourceFile = "r1_searcher_source.json";

const Source = z.object({
  endpoint: z.string(),
  repo: z.string(),
  revision: z.string(),
  commit: GitHash,
  license: z.string().optional(),
});
export type Source = z.infer<typeof Source>;

/** The hub source of a folder's model; undefined if the folder has no such record. */
export function readSource(directory: string): Source | undefined {
  const file = join(directory, sourceFile);
  if (!existsSync(file)) return undefined;
  try {
    return Source.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (cause) {
    throw new EngineError(`${file} cannot be read: ${messageOf(cause).split("\n")[0]}`, {
      hint: "name another folder, or delete the file",
      cause,
    });
  }
}

/**
 * @throws ConfigError, EngineError; InterruptedError if the signal was raised: the same call again continues the
 * download
 */
export async function getModel(options: GetOptions): Promise<GotModel> {
  checkRepo(options.repo);
  checkRevision(options.revision);
  const pinned = pinnedCommit(options);
  const client = fileClient(options.stallMs === undefined ? {} : { stallMs: options.stallMs });
  try {
    const got = await new Getting(options, client).run(pinned);
    return { ...got, directory: await placed(got, options) };
  } catch (cause) {
    if (!options.signal?.aborted) throw cause;
    throw new InterruptedError(`the download of ${options.repo} is not complete`, {
      hint: "run the same command again: it continues where it stopped",
    });
  } finally {
    await client.close();
  }
}

/** A folder with an unfinished download keeps its commit. @throws ConfigError if the folder contains something else */
function pinnedCommit({ directory, repo, revision, hub }: GetOptions): string | undefined {
  const asked = isCommit(revision) ? revision : undefined;
  if (directory === undefined || !existsSync(directory)) return asked;
  const source = readSource(directory);
  const names = readdirSync(directory);
  if (!source && names.length === 0) return asked;
  if (source?.repo === repo && source.endpoint === hub.endpoint && [source.revision, source.commit].includes(revision))
    return source.commit;
  throw new ConfigError(
    source
      ? `${directory} holds ${source.repo} at ${source.revision} from ${source.endpoint}`
      : `${directory} is not empty and holds no model from a hub`,
    { hint: "name another folder" },
  );
}

class Getting {
  readonly #options: GetOptions;
  readonly #client: FileClient;
  readonly #cache: HubCache;
  readonly #done = new Map<string, number>();
  #total = 0;
  #loaded = 0;

  constructor(options: GetOptions, client: FileClient) {
    this.#options = options;
    this.#client = client;
    this.#cache = new HubCache(options.hub.cache, options.repo);
  }

  async run(pinned: string | undefined): Promise<Omit<GotModel, "directory">> {
    const { repo, revision, hub } = this.#options;
    const model = hub.offline ? undefined : await this.#ask(pinned ?? revision);
    if (!model) return this.#fromCache(pinned ?? this.#cache.commitOf(revision));
    if (model.commit !== revision) this.#cache.setCommit(revision, model.commit);
    this.#pin(model);
    const small = smallFilesOf(repo, (name) => model.files.has(name)).map((name) => model.files.get(name)!);
    const expected = [...model.files.values()].filter(({ name }) => isWeights(name, model));
    this.#total = [...small, ...expected].reduce((sum, { bytes }) => sum + bytes, 0);
    await this.#load(model, small);
    const snapshot = this.#cache.snapshot(model.commit);
    readModelConfig(snapshot); // a model that cannot be used here is refused before its weights are downloaded
    const weights = weightNames(snapshot, model);
    await this.#load(model, weights);
    const { commit, license } = model;
    return { repo, revision, commit, license, files: [...small, ...weights], loadedBytes: this.#loaded };
  }

  /** Undefined if the hub cannot be reached and the cache may be used instead. */
  async #ask(revision: string): Promise<HubModel | undefined> {
    const { repo, hub, signal, onMessage } = this.#options;
    try {
      return await askHub(this.#client, hub, { repo, revision, signal });
    } catch (cause) {
      if (!(cause instanceof HttpError)) throw cause;
      const commit = isCommit(revision) ? revision : this.#cache.commitOf(revision);
      if (commit === undefined)
        throw new EngineError(`the hub cannot be reached: ${cause.message}`, {
          hint: "check the network and HF_ENDPOINT; a folder with the model's files does as well",
          cause,
        });
      onMessage?.(`the hub cannot be reached (${cause.message}); using what the cache has of ${repo}`);
      return undefined;
    }
  }

  /** Checks every file in the cache without network access. */
  async #fromCache(commit: string | undefined): Promise<Omit<GotModel, "directory">> {
    const { repo, revision, hub } = this.#options;
    const hint = hub.offline ? "unset HF_HUB_OFFLINE and run it again" : "run it again when the hub is back";
    if (commit === undefined) throw new EngineError(`${hub.cache} has no ${repo} at ${revision}`, { hint });
    const snapshot = this.#cache.snapshot(commit);
    const has = (name: string) => existsSync(join(snapshot, name));
    if (!has("config.json")) throw new EngineError(`${hub.cache} has only part of ${repo} at ${revision}`, { hint });
    const small = smallFilesOf(repo, has);
    const weights = [...shardsOf(snapshot).keys()].map((path) => path.slice(snapshot.length + 1));
    const files: HubFile[] = [];
    for (const name of [...small, ...weights]) {
      const found = this.#cache.file(commit, name);
      if (!found) throw new EngineError(`${snapshot} lacks ${name}`, { hint });
      if (found.checksum !== undefined && !(await matches(found.path, found.checksum)))
        throw new EngineError(`${join(snapshot, name)} is damaged`, { hint });
      files.push({ name, bytes: statSync(found.path).size, checksum: found.checksum ?? "" });
    }
    const license = this.#options.directory === undefined ? undefined : readSource(this.#options.directory)?.license;
    const got = { repo, commit, license, files: new Map() };
    this.#pin(got);
    return { repo, revision, commit, license, files, loadedBytes: 0 };
  }

  #pin({ repo, commit, license }: HubModel): void {
    const { directory, hub, revision } = this.#options;
    if (directory === undefined) return;
    mkdirSync(directory, { recursive: true });
    const source: Source = { endpoint: hub.endpoint, repo, revision, commit, ...(license ? { license } : {}) };
    writeAtomically(join(directory, sourceFile), `${toJson(source, 2)}\n`);
  }

  async #load(model: HubModel, files: readonly HubFile[]): Promise<void> {
    const { hub, signal } = this.#options;
    this.#demandRoom(files);
    const limit = pLimit(4);
    const stop = new AbortController();
    const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const all = files.map((file) =>
      limit(async () => {
        either.throwIfAborted();
        const loaded = await loadFile(file, {
          ...{ client: this.#client, cache: this.#cache, hub, model, signal: either },
          onBytes: (bytes) => this.#note(file.name, bytes),
        }).catch((cause: unknown) => {
          stop.abort(); // waiting for the other downloads would only delay the message
          throw cause;
        });
        this.#loaded += loaded;
        this.#cache.link(model.commit, file.name, file.checksum);
      }),
    );
    const ended = await Promise.allSettled(all);
    const errors = ended.flatMap((end) => (end.status === "rejected" ? [end.reason as unknown] : []));
    if (errors.length > 0) throw errors.find((error) => error instanceof EngineError) ?? errors[0];
  }

  #note(name: string, bytes: number): void {
    this.#done.set(name, bytes);
    const done = [...this.#done.values()].reduce((sum, n) => sum + n, 0);
    this.#options.onProgress?.({ bytes: done, total: this.#total });
  }

  #demandRoom(files: readonly HubFile[]): void {
    const { cache, repo, hub } = { ...this.#options, cache: this.#options.hub.cache };
    const held = (path: string) => (existsSync(path) ? statSync(path).size : 0);
    const missing = files.reduce((sum, { bytes, checksum }) => {
      const blob = this.#cache.blob(checksum);
      return sum + (existsSync(blob) ? 0 : Math.max(0, bytes - held(`${blob}.incomplete`)));
    }, 0);
    mkdirSync(cache, { recursive: true });
    const { bavail, bsize } = statfsSync(cache);
    if (missing <= bavail * bsize) return;
    const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
    throw new EngineError(
      `${repo} needs ${gigabytes(missing)} more in ${hub.cache}, where ${gigabytes(bavail * bsize)} are free`,
      { hint: "free some space, or name another place with HF_HUB_CACHE" },
    );
  }
}

/** The files that are most likely the weights; the index, which is not downloaded yet, will tell. */
const isWeights = (name: string, { files }: HubModel) =>
  files.has(SINGLE) ? name === SINGLE : /^model-\d+-of-\d+\.safetensors$/.test(name);

function weightNames(snapshot: string, model: HubModel): HubFile[] {
  if (model.files.has(SINGLE)) return [model.files.get(SINGLE)!];
  return [...shardsOf(snapshot).keys()].map((path) => {
    const name = path.slice(snapshot.length + 1);
    const file = model.files.get(name);
    if (!file) throw new EngineError(`${model.repo} has no ${name}, which its index names`);
    return file;
  });
}

/** Copies that share disk blocks with the cache, if the file system supports that. */
async function placed(
  { repo, commit, files }: Omit<GotModel, "directory">,
  { directory, hub, signal }: GetOptions,
): Promise<string> {
  const cache = new HubCache(hub.cache, repo);
  if (directory === undefined) return cache.snapshot(commit);
  for (const { name, bytes, checksum } of files) {
    signal?.throwIfAborted();
    const target = join(directory, name);
    const isThere = existsSync(target) && statSync(target).size === bytes && checksum !== "";
    if (isThere && (await matches(target, checksum))) continue;
    const partial = `${target}.incomplete`;
    copyFileSync(join(cache.snapshot(commit), name), partial, constants.COPYFILE_FICLONE);
    rmSync(target, { force: true });
    renameSync(partial, target);
  }
  return directory;
}
