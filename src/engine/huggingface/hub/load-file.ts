/**
 * @file Downloads one file of a model into the cache: continues a partial download, retries, and verifies the checksum.
 */
import { existsSync, rmSync, statSync } from "node:fs";
import { EngineError } from "../../../base/errors.ts";
import type { FileClient } from "../../../base/http/file-client.ts";
import { HttpError } from "../../../base/http/http-error.ts";
import { explained, type HubFile, type HubModel, withRetries } from "./hub-api.ts";
import { type HubCache, matches } from "./hub-cache.ts";
import type { HubSettings } from "./hub-settings.ts";

export interface LoadOptions {
  readonly client: FileClient;
  readonly cache: HubCache;
  readonly hub: HubSettings;
  readonly model: HubModel;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/** @returns the number of bytes downloaded */
export async function loadFile(file: HubFile, options: LoadOptions): Promise<number> {
  const { cache, onBytes } = options;
  const { name, bytes, checksum } = file;
  const blob = cache.blob(checksum);
  if (existsSync(blob)) {
    if (statSync(blob).size === bytes && (await matches(blob, checksum))) {
      onBytes(bytes);
      return 0;
    }
    rmSync(blob); // the file was changed on disk after it was stored
  }
  const partial = cache.partial(checksum);
  const sizeBefore = existsSync(partial) ? statSync(partial).size : 0;
  await download(file, partial, options);
  if (!(await matches(partial, checksum))) {
    rmSync(partial, { force: true });
    // an older partial download may be damaged, but a file that was downloaded completely in this call will not get
    // better by a retry
    if (sizeBefore > 0) await download(file, partial, options);
    if (sizeBefore === 0 || !(await matches(partial, checksum))) {
      rmSync(partial, { force: true });
      throw new EngineError(`${options.model.repo}: the content of ${name} does not match its checksum ${checksum}`, {
        hint: "a proxy or mirror may have changed it; try again, or another HF_ENDPOINT",
      });
    }
  }
  cache.keep(checksum);
  return bytes - Math.min(sizeBefore, bytes);
}

/** Retries for as long as every try downloads at least some bytes. */
async function download({ name, bytes }: HubFile, into: string, options: LoadOptions): Promise<void> {
  const { client, hub, model, signal, onBytes } = options;
  const url = `${hub.endpoint}/${model.repo}/resolve/${model.commit}/${name}`;
  const size = () => (existsSync(into) ? statSync(into).size : 0);
  for (;;) {
    const before = size();
    try {
      await withRetries(() => client.download({ url, into, bytes, token: hub.token, signal, onBytes }), signal);
      return;
    } catch (cause) {
      signal.throwIfAborted();
      const isCut = cause instanceof HttpError && cause.retryable && cause.status === undefined;
      if (isCut && size() > before) continue;
      throw explained(cause, { repo: model.repo, revision: model.commit, hasToken: hub.token !== undefined });
    }
  }
}
