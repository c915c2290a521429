/** @file Finds a policy: a model folder, an adapter with its base model, or a run that saved either. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../../base/errors.ts";
import { adapterConfigFile, readAdapterConfig } from "../../engine/huggingface/peft.ts";
import { type RemoteReference, readRemoteReference, remoteFile } from "../../engine/remote-reference.ts";
import { newestCheckpoint } from "./checkpoint-store.ts";

export interface LocalPlace {
  readonly kind: "local";
  /** The model folder. */
  readonly directory: string;
  /** The PEFT folder of the adapter over it, if there is one. */
  readonly adapter?: string;
}

/** Weights that an engine elsewhere holds. */
export interface RemotePlace extends RemoteReference {
  readonly kind: "remote";
  /** The folder that refers to them. */
  readonly directory: string;
}

export type PolicyPlace = LocalPlace | RemotePlace;

export interface PlaceOptions {
  /** A PEFT folder, or a run that trained an adapter; default what `path` brings itself. */
  readonly adapter?: string | undefined;
  readonly warn?: ((message: string) => void) | undefined;
}

/**
 * @param path a model folder, a PEFT folder, or a run folder, whose newest valid checkpoint is used
 * @throws ConfigError if there is neither, CheckpointError if no checkpoint is valid
 */
export async function findPolicy(path: string, { adapter, warn = () => {} }: PlaceOptions = {}): Promise<PolicyPlace> {
  const found = await newestWith(path, ["config.json", adapterConfigFile, remoteFile], warn);
  if (found === undefined)
    throw new ConfigError(`${path} holds neither a model nor a run with a checkpoint`, {
      hint: "give a folder with config.json, or a run folder that `r1-searcher train` wrote",
    });
  const remote = readRemoteReference(found);
  if (remote !== undefined && adapter === undefined) return { kind: "remote", directory: found, ...remote };
  if (remote !== undefined)
    throw new ConfigError(`${found} refers to ${remote.reference} of engine ${remote.engine}; it takes no --adapter`, {
      hint: "leave --adapter out, or give the folder of a model",
    });
  if (existsSync(join(found, "config.json"))) {
    return adapter === undefined
      ? { kind: "local", directory: found }
      : { kind: "local", directory: found, adapter: await adapterFolder(adapter, warn) };
  }
  if (adapter !== undefined)
    throw new ConfigError(`${path} is an adapter itself; it takes no --adapter`, {
      hint: "give the folder of the model below both, with the adapter to use",
    });
  return { kind: "local", directory: modelBelow(found), adapter: found };
}

/** As `findPolicy`, for work that reads the weights. @throws ConfigError where another engine holds them */
export async function findLocalPolicy(path: string, options: PlaceOptions = {}): Promise<LocalPlace> {
  const place = await findPolicy(path, options);
  if (place.kind === "local") return place;
  const { engine, reference, directory } = place;
  throw new ConfigError(`${directory} refers to ${reference} of engine ${engine}; its weights are not here`, {
    hint: `open it with engine.kind ${engine}, or give a folder with weights`,
  });
}

async function adapterFolder(path: string, warn: (message: string) => void): Promise<string> {
  const found = await newestWith(path, [adapterConfigFile], warn);
  if (found !== undefined) return found;
  throw new ConfigError(`--adapter ${path} holds neither an adapter nor a run that trained one`, {
    hint: `an adapter is a PEFT folder with ${adapterConfigFile}; a run trains one where its recipe has lora`,
  });
}

/** `path` itself if it contains one of the files, otherwise the newest checkpoint below it that does. */
async function newestWith(
  path: string,
  files: readonly string[],
  warn: (message: string) => void,
): Promise<string | undefined> {
  const holds = (folder: string) => files.some((file) => existsSync(join(folder, file)));
  if (holds(path)) return path;
  const newest = await newestCheckpoint(join(path, "checkpoints"), warn);
  return newest && holds(newest.directory) ? newest.directory : undefined;
}

function modelBelow(adapter: string): string {
  const { baseModel } = readAdapterConfig(adapter);
  if (baseModel !== undefined && existsSync(join(baseModel, "config.json"))) return baseModel;
  throw new ConfigError(`${adapter} adapts ${baseModel ?? "a model it does not name"}, which is no model folder here`, {
    hint: `give the folder of that model, and --adapter ${adapter}`,
  });
}
