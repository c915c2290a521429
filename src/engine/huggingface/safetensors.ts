/**
 * @file Reads and writes safetensors files and sharded folders. A file is checked before anything is allocated and read
 * tensor by tensor into memory of the caller. No package on npm does this.
 */
import { type FileHandle, open, stat } from "node:fs/promises";
import { EngineError, messageOf } from "../../base/errors.ts";
import { writeDurably } from "../../base/files.ts";
import { bfloat16ToFloat32, float16ToFloat32 } from "./half.ts";
import { type ModelConfig, type ParameterSpec, parameterSpecs, sizeOf } from "./model-config.ts";
import {
  bytesPerNumber,
  headerLength,
  METADATA,
  parseHeader,
  type SafetensorsHeader,
  type TensorEntry,
} from "./safetensors-header.ts";
import { checkShard, type ShardPlan, shardsOf } from "./shard-index.ts";

export interface WeightsFile {
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  shape(name: string): readonly number[];
  /** Fills `into`, converting to f32. Its length must be the tensor's. */
  read(name: string, into: Float32Array): Promise<void>;
  close(): Promise<void>;
}

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const CHUNK = 8 * 2 ** 20;
const COPY_HINT = "copy or download it again";

/**
 * Opens a file, or a folder with `model.safetensors` or `model.safetensors.index.json`.
 * @param config if given, the tensors must be exactly those of such a model
 * @throws EngineError naming file and tensor
 */
export async function openWeights(path: string, config?: ModelConfig): Promise<WeightsFile> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  const plan: ShardPlan = isFolder ? shardsOf(path) : new Map([[path, undefined]]);
  const opened: WeightsFile[] = [];
  try {
    for (const [file, expected] of plan) {
      const weights = await openFile(file);
      opened.push(weights);
      if (expected) checkShard(file, weights.names, expected);
    }
    const merged = merge(path, opened);
    if (config) checkTensors(path, merged, config);
    return merged;
  } catch (error) {
    for (const file of opened) await file.close();
    throw error;
  }
}

function merge(path: string, files: readonly WeightsFile[]): WeightsFile {
  const shardOf = new Map<string, WeightsFile>();
  for (const file of files) {
    for (const name of file.names) {
      if (shardOf.has(name)) throw new EngineError(`${path}: two shards hold ${name}`);
      shardOf.set(name, file);
    }
  }
  const of = (name: string) => {
    const file = shardOf.get(name);
    if (!file) throw new EngineError(`${path} has no tensor ${name}`);
    return file;
  };
  return {
    names: [...shardOf.keys()],
    metadata: Object.fromEntries(files.flatMap(({ metadata }) => Object.entries(metadata))),
    shape: (name) => of(name).shape(name),
    read: async (name, into) => of(name).read(name, into),
    close: async () => {
      for (const file of files) await file.close();
    },
  };
}

function checkTensors(path: string, file: WeightsFile, config: ModelConfig): void {
  requireTensors(path, file, parameterSpecs(config), {
    // a tied head is often stored as well, and old checkpoints contain rotary tables
    ignorable: (name) => (config.tied && name === "lm_head.weight") || name.endsWith("rotary_emb.inv_freq"),
    owner: `a ${config.family} model of this config`,
    configFile: "config.json",
  });
}

/**
 * Checks that the file has every tensor of `specs` with its shape, and no other.
 * @param about whose tensors they are and which file says so, for messages
 * @throws EngineError naming path and tensor
 */
export function requireTensors(
  path: string,
  file: Pick<WeightsFile, "names" | "shape">,
  specs: readonly Pick<ParameterSpec, "name" | "shape">[],
  about: { readonly ignorable?: (name: string) => boolean; readonly owner: string; readonly configFile: string },
): void {
  const wanted = new Set(specs.map(({ name }) => name));
  const present = new Set(file.names);
  const hint = `is ${about.configFile} of the same model?`;
  for (const { name, shape } of specs) {
    if (!present.has(name)) throw new EngineError(`${path} lacks ${name} [${shape.join(", ")}]`, { hint });
    const found = file.shape(name);
    if (found.join() === shape.join()) continue;
    const asked = `${about.configFile} asks for [${shape.join(", ")}]`;
    throw new EngineError(`${path}: ${name} is [${found.join(", ")}]; ${asked}`, { hint });
  }
  const extra = file.names.find((name) => !wanted.has(name) && !about.ignorable?.(name));
  if (extra !== undefined)
    throw new EngineError(
      `${path} holds ${extra} [${file.shape(extra).join(", ")}], which ${about.owner} does not have`,
      { hint },
    );
}

/** @throws EngineError naming file and tensor if a weight is not a finite number */
export async function requireFiniteWeights(path: string, config: ModelConfig): Promise<void> {
  const file = await openWeights(path, config);
  try {
    for (const { name, shape } of parameterSpecs(config)) {
      const numbers = new Float32Array(sizeOf(shape));
      await file.read(name, numbers);
      const at = numbers.findIndex((x) => !Number.isFinite(x));
      if (at >= 0)
        throw new EngineError(`${path}: ${name} holds ${numbers[at]} at index ${at}`, {
          hint: "the weights are damaged, or training diverged before they were saved; use an earlier copy",
        });
    }
  } finally {
    await file.close();
  }
}

async function openFile(file: string): Promise<WeightsFile> {
  let handle: FileHandle;
  try {
    if (!(await stat(file)).isFile()) throw new Error("it is not a file");
    handle = await open(file, "r");
  } catch (cause) {
    throw new EngineError(`${file} cannot be opened: ${messageOf(cause)}`, { cause });
  }
  try {
    const { entries, metadata } = await readHeader(file, handle);
    const entryOf = (name: string) => {
      const entry = entries.get(name);
      if (!entry) throw new EngineError(`${file} has no tensor ${name}`);
      return entry;
    };
    return {
      names: [...entries.keys()],
      metadata,
      shape: (name) => entryOf(name).shape,
      read: async (name, into) => readTensor({ file, handle, name }, entryOf(name), into),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readHeader(file: string, handle: FileHandle): Promise<SafetensorsHeader> {
  const damaged = (what: string, cause?: unknown): never => {
    throw new EngineError(`${file} is not a whole safetensors file: ${what}`, { hint: COPY_HINT, cause });
  };
  const { size } = await handle.stat();
  if (size < 8) return damaged(`it has ${size} bytes`);
  const prefix = Buffer.alloc(8);
  await readExactly({ file, handle }, 0, prefix);
  const length = headerLength(prefix, size);
  if (typeof length === "string") return damaged(length);
  const header = Buffer.alloc(length);
  await readExactly({ file, handle }, 8, header);
  try {
    return parseHeader(header, size);
  } catch (cause) {
    return damaged(messageOf(cause), cause);
  }
}

async function readExactly(
  { file, handle }: { readonly file: string; readonly handle: FileHandle },
  position: number,
  into: Buffer,
): Promise<void> {
  for (let at = 0; at < into.length; ) {
    const { bytesRead } = await handle.read(into, at, into.length - at, position + at).catch((cause: unknown) => {
      throw new EngineError(`${file} cannot be read: ${messageOf(cause)}`, { cause });
    });
    if (bytesRead === 0)
      throw new EngineError(`${file} ends at byte ${position + at}, before the end of its last tensor`, {
        hint: COPY_HINT,
      });
    at += bytesRead;
  }
}

async function readTensor(
  { file, handle, name }: { readonly file: string; readonly handle: FileHandle; readonly name: string },
  { dtype, start, length }: TensorEntry,
  into: Float32Array,
): Promise<void> {
  const width = bytesPerNumber[dtype];
  if (length !== into.length * width)
    throw new EngineError(`${file}: ${name} holds ${length / width} numbers, ${into.length} were expected`);
  const buffer = Buffer.from(new ArrayBuffer(Math.min(CHUNK, length)));
  for (let at = 0; at < length; at += CHUNK) {
    const chunk = buffer.subarray(0, Math.min(CHUNK, length - at));
    await readExactly({ file, handle }, start + at, chunk);
    const part = into.subarray(at / width, (at + chunk.length) / width);
    if (dtype === "F32") new Uint8Array(part.buffer, part.byteOffset, part.byteLength).set(chunk);
    else {
      const halves = new Uint16Array(buffer.buffer, 0, chunk.length / 2);
      (dtype === "F16" ? float16ToFloat32 : bfloat16ToFloat32)(halves, part);
    }
  }
}

/**
 * Writes tensors as F32, durably.
 * @throws EngineError if two tensors share a name, or a shape does not match its data
 */
export function writeSafetensors(
  file: string,
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): void {
  for (const { name, shape, data } of tensors) {
    if (sizeOf(shape) !== data.length)
      throw new EngineError(`${file}: ${name} [${shape.join(", ")}] cannot hold ${data.length} numbers`);
  }
  const header = safetensorsHeader(
    file,
    tensors.map(({ name, shape, data }) => ({ name, shape, dtype: "F32", byteLength: data.byteLength })),
    metadata,
  );
  const views = tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  writeDurably(file, header, ...views);
}

/** The bytes before the tensors, which follow in order. @throws EngineError if two share a name */
export function safetensorsHeader(
  file: string,
  tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly dtype: TensorEntry["dtype"];
    readonly byteLength: number;
  }[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, unknown> = Object.create(null); // a tensor may have the name __proto__
  header[METADATA] = metadata;
  let at = 0;
  for (const { name, shape, dtype, byteLength } of tensors) {
    if (Object.hasOwn(header, name)) throw new EngineError(`${file} cannot hold two tensors named ${name}`);
    header[name] = { dtype, shape, data_offsets: [at, at + byteLength] };
    at += byteLength;
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (Buffer.byteLength(text) % 8)) % 8); // tensor data begins on an 8-byte boundary
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  return Buffer.concat([prefix, Buffer.from(text)]);
}
