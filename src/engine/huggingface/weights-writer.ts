/** @file Writes the weights of a Hugging Face folder tensor by tensor: one file, or several shards with an index. */
import { existsSync } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../../base/errors.ts";
import { fsyncDirectory } from "../../base/files.ts";
import { sizeOf } from "./model-config.ts";
import { bytesPer, encodeNumbers, type NumberFormat } from "./number-format.ts";
import { safetensorsHeader } from "./safetensors.ts";
import { INDEX, SINGLE, shardName, writeShardIndex } from "./shard-index.ts";

/** A tensor that is read just before it is written, so that the whole model need not be in memory. */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  /** Fills `into`, whose length is the product of `shape`. */
  readonly read: (into: Float32Array) => Promise<void> | void;
}

export interface WriteOptions {
  readonly format?: NumberFormat;
  /** A tensor larger than this gets its own shard. */
  readonly maxShardBytes?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Receives the number of bytes written so far. */
  readonly onBytes?: (bytes: number) => void;
}

/**
 * The index is written last, so a folder without it is recognisably unfinished.
 * @returns the names of the files
 * @throws EngineError if two tensors share a name, the folder already has other weights, or a number does not fit the
 * format
 */
export async function writeWeights(
  directory: string,
  tensors: readonly TensorSource[],
  options: WriteOptions = {},
): Promise<readonly string[]> {
  const { format = "f32", maxShardBytes = 5e9 } = options;
  const shards = splitIntoShards(tensors, maxShardBytes, bytesPer[format]);
  const stale = shards.length > 1 ? SINGLE : INDEX;
  if (existsSync(join(directory, stale)))
    throw new EngineError(`${join(directory, stale)} already exists and belongs to other weights`, {
      hint: "write to a new folder",
    });
  const shardOf = new Map<string, string>();
  let written = 0;
  for (const [i, shard] of shards.entries()) {
    const name = shards.length === 1 ? SINGLE : shardName(i + 1, shards.length);
    for (const tensor of shard) {
      if (shardOf.has(tensor.name)) throw new EngineError(`${directory} cannot hold two tensors named ${tensor.name}`);
      shardOf.set(tensor.name, name);
    }
    await writeShard(join(directory, name), shard, {
      ...options,
      onBytes: (bytes) => options.onBytes?.(written + bytes),
    });
    written += shard.reduce((sum, tensor) => sum + sizeOf(tensor.shape) * bytesPer[format], 0);
  }
  if (shards.length > 1) writeShardIndex(directory, shardOf, written);
  return [...new Set(shardOf.values()), ...(shards.length > 1 ? [INDEX] : [])];
}

function splitIntoShards(tensors: readonly TensorSource[], maxBytes: number, width: number): TensorSource[][] {
  const shards: TensorSource[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    const size = sizeOf(tensor.shape) * width;
    if (bytes > 0 && bytes + size > maxBytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(tensor);
    bytes += size;
  }
  return shards;
}

async function writeShard(file: string, tensors: readonly TensorSource[], options: WriteOptions): Promise<void> {
  const { format = "f32", metadata = { format: "pt" }, signal, onBytes } = options;
  const dtype = ({ f32: "F32", f16: "F16", bf16: "BF16" } as const)[format];
  const header = safetensorsHeader(
    file,
    tensors.map((tensor) => ({ ...tensor, dtype, byteLength: sizeOf(tensor.shape) * bytesPer[format] })),
    metadata,
  );
  await writeWhole(file, async (handle) => {
    await writeAll(handle, header);
    await writeTensors(
      handle,
      tensors.map((tensor) => ({ ...tensor, format })),
      { signal, onBytes },
    );
  });
}

export interface TensorWriting {
  /** Every tensor is padded with zeros to a multiple of this; default 1. */
  readonly alignment?: number;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of tensor data so far, without padding. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** Writes tensors in order, reading each just before. @throws EngineError if a number does not fit its format */
export async function writeTensors(
  handle: FileHandle,
  tensors: readonly (TensorSource & { readonly format: NumberFormat })[],
  { alignment = 1, signal, onBytes }: TensorWriting,
): Promise<void> {
  let done = 0;
  for (const { name, shape, read, format } of tensors) {
    signal?.throwIfAborted();
    const numbers = new Float32Array(sizeOf(shape));
    await read(numbers);
    const bytes = encodeNumbers(name, numbers, format);
    await writeAll(handle, bytes);
    await writeAll(handle, new Uint8Array(alignedTo(alignment, bytes.length) - bytes.length));
    onBytes?.((done += bytes.length));
  }
}

export const alignedTo = (alignment: number, bytes: number) => Math.ceil(bytes / alignment) * alignment;

/** Writes a file that appears under its name only once it is complete and on disk. */
export async function writeWhole(file: string, work: (handle: FileHandle) => Promise<void>): Promise<void> {
  const partial = `${file}.tmp-${process.pid}`;
  const handle = await open(partial, "w");
  try {
    await work(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, file);
  fsyncDirectory(join(file, ".."));
}

export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; )
    at += (await handle.write(bytes, at, Math.min(bytes.length - at, 1 << 30))).bytesWritten;
}
