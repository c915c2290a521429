/** @file Finds the weight files of a Hugging Face folder, using the index if there are several. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { EngineError } from "../../base/errors.ts";
import { writeAtomically } from "../../base/files.ts";
import { isObject, readJsonObject, show } from "./json-file.ts";

export const SINGLE = "model.safetensors";
export const INDEX = "model.safetensors.index.json";

const MAX_INDEX_BYTES = 50 * 2 ** 20;
const MAX_SHARDS = 10_000;

/** Tensor names by the file that must contain them; undefined for a single file, which may contain any tensors. */
export type ShardPlan = ReadonlyMap<string, ReadonlySet<string> | undefined>;

/** @throws EngineError if the folder has no weights or its index is invalid */
export function shardsOf(directory: string): ShardPlan {
  const single = join(directory, SINGLE);
  if (existsSync(single)) return new Map([[single, undefined]]);
  const index = join(directory, INDEX);
  if (!existsSync(index)) {
    const hasPickle =
      existsSync(join(directory, "pytorch_model.bin")) || existsSync(join(directory, `pytorch_model.bin.index.json`));
    throw new EngineError(`${directory} has neither ${SINGLE} nor ${INDEX}`, {
      hint: hasPickle
        ? "its pytorch_model.bin can contain programs and is not read: convert it to safetensors"
        : "name a folder with a Hugging Face model",
    });
  }
  const map = readJsonObject(index, { maxBytes: MAX_INDEX_BYTES })["weight_map"];
  if (!isObject(map) || Object.keys(map).length === 0) throw new EngineError(`${index}: "weight_map" names no shards`);
  const shards = new Map<string, Set<string>>();
  for (const [tensor, name] of Object.entries(map)) {
    if (typeof name !== "string" || basename(name) !== name || name.includes("\\") || !name.endsWith(".safetensors"))
      throw new EngineError(`${index}: the shard of ${tensor} is ${show(name)}, not the name of a safetensors file`);
    const file = join(directory, name);
    const tensors = shards.get(file) ?? new Set();
    shards.set(file, tensors.add(tensor));
  }
  if (shards.size > MAX_SHARDS)
    throw new EngineError(`${index} names ${shards.size} shards; ${MAX_SHARDS} are allowed`);
  return shards;
}

/** @throws EngineError if the tensors of a shard are not those that the index lists for it */
export function checkShard(file: string, names: readonly string[], expected: ReadonlySet<string>): void {
  const held = new Set(names);
  const missing = [...expected].find((name) => !held.has(name));
  if (missing !== undefined) throw new EngineError(`${file} lacks ${missing}, which ${INDEX} places there`);
  const extra = names.find((name) => !expected.has(name));
  if (extra !== undefined) throw new EngineError(`${file} contains ${extra}, which ${INDEX} does not place there`);
}

export function writeShardIndex(directory: string, shardOf: ReadonlyMap<string, string>, totalBytes: number): void {
  const index = { metadata: { total_size: totalBytes }, weight_map: Object.fromEntries(shardOf) };
  writeAtomically(join(directory, INDEX), `${JSON.stringify(index, null, 2)}\n`);
}

/** `model-00002-of-00005.safetensors`, counted from 1. */
export function shardName(shard: number, shards: number): string {
  const digits = (n: number) => String(n).padStart(5, "0");
  return `model-${digits(shard)}-of-${digits(shards)}.safetensors`;
}
