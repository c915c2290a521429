/**
 * @file Safetensors files and sharded folders: checked before anything is allocated, read tensor by tensor into
 * memory that the caller owns. No package on npm does this.
 */
import { existsSync, readFileSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { EngineError, messageOf } from "../../base/errors.ts";
import { writeDurably } from "../../base/files.ts";
import { bfloat16ToFloat32, float16ToFloat32 } from "./half.ts";
import { type ModelConfig, parameterSpecs } from "./model-config.ts";

export interface WeightsFile {
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  shape(name: string): readonly number[];
  /** Fills `into`, converting to f32. Its length must be that of the tensor. */
  read(name: string, into: Float32Array): Promise<void>;
  close(): Promise<void>;
}

interface Entry {
  readonly dtype: "F32" | "F16" | "BF16";
  readonly shape: readonly number[];
  /** From the beginning of the file. */
  readonly start: number;
  readonly length: number;
}

const MAX_HEADER = 25 * 2 ** 20;
const CHUNK = 8 * 2 ** 20;
const bytesOf = { F32: 4, F16: 2, BF16: 2 } as const;

/**
 * Opens a file, or a folder with `model.safetensors` or `model.safetensors.index.json`.
 * @param config where given, the tensors must be exactly those of such a model
 * @throws EngineError naming file and tensor
 */
export async function openWeights(path: string, config?: ModelConfig): Promise<WeightsFile> {
  const files = (await stat(path).catch(() => undefined))?.isDirectory() ? shardsOf(path) : [path];
  const opened: WeightsFile[] = [];
  try {
    for (const file of files) opened.push(await openFile(file));
    const merged = merge(path, opened);
    if (config) checkTensors(path, merged, config);
    return merged;
  } catch (error) {
    for (const file of opened) await file.close();
    throw error;
  }
}

function shardsOf(directory: string): string[] {
  const single = join(directory, "model.safetensors");
  if (existsSync(single)) return [single];
  const index = join(directory, "model.safetensors.index.json");
  if (!existsSync(index)) {
    throw new EngineError(`${directory} has neither model.safetensors nor model.safetensors.index.json`, {
      hint: "pickled weights (.bin, .pt) are not read: save the model as safetensors",
    });
  }
  let map: unknown;
  try {
    map = (JSON.parse(readFileSync(index, "utf8")) as { weight_map?: unknown }).weight_map;
  } catch (cause) {
    throw new EngineError(`${index} is not JSON: ${messageOf(cause)}`, { cause });
  }
  const names = typeof map === "object" && map !== null ? [...new Set(Object.values(map))] : [];
  if (names.length === 0 || names.length > 10_000) throw new EngineError(`${index}: "weight_map" names no shards`);
  return names.map((name) => {
    if (typeof name !== "string" || basename(name) !== name)
      throw new EngineError(`${index}: shard ${JSON.stringify(name)} is not a file name`);
    return join(directory, name);
  });
}

function merge(path: string, files: readonly WeightsFile[]): WeightsFile {
  const home = new Map<string, WeightsFile>();
  for (const file of files) {
    for (const name of file.names) {
      if (home.has(name)) throw new EngineError(`${path}: two shards hold ${name}`);
      home.set(name, file);
    }
  }
  const of = (name: string) => {
    const file = home.get(name);
    if (!file) throw new EngineError(`${path} has no tensor ${name}`);
    return file;
  };
  return {
    names: [...home.keys()],
    metadata: Object.assign({}, ...files.map(({ metadata }) => metadata)) as Record<string, string>,
    shape: (name) => of(name).shape(name),
    read: async (name, into) => of(name).read(name, into),
    close: async () => {
      for (const file of files) await file.close();
    },
  };
}

function checkTensors(path: string, file: WeightsFile, config: ModelConfig): void {
  const specs = parameterSpecs(config);
  const wanted = new Set(specs.map(({ name }) => name));
  const present = new Set(file.names);
  for (const { name, shape } of specs) {
    if (!present.has(name))
      throw new EngineError(`${path} lacks ${name} [${shape.join(", ")}]`, {
        hint: "is config.json of the same model?",
      });
    const found = file.shape(name);
    if (found.join() !== shape.join()) {
      throw new EngineError(`${path}: ${name} is [${found.join(", ")}]; config.json asks for [${shape.join(", ")}]`);
    }
  }
  // a tied head is often stored a second time, and old checkpoints carry rotary tables
  const ignorable = (name: string) =>
    (config.tied && name === "lm_head.weight") || name.endsWith("rotary_emb.inv_freq");
  const extra = file.names.find((name) => !wanted.has(name) && !ignorable(name));
  if (extra !== undefined)
    throw new EngineError(`${path} holds ${extra}, which a ${config.family} model of this config does not have`);
}

async function openFile(file: string): Promise<WeightsFile> {
  let handle: FileHandle;
  try {
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
      read: (name, into) => readTensor({ file, handle, name }, entryOf(name), into),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readHeader(file: string, handle: FileHandle) {
  const damaged = (what: string): never => {
    throw new EngineError(`${file} is not a whole safetensors file: ${what}`, { hint: "copy or download it again" });
  };
  const { size } = await handle.stat();
  if (size < 8) damaged(`it has ${size} bytes`);
  const prefix = await readExactly(handle, 0, 8, file);
  const headerSize = prefix.readBigUInt64LE();
  if (headerSize > BigInt(Math.min(MAX_HEADER, size - 8))) damaged(`its header claims ${headerSize} bytes of ${size}`);
  const text = (await readExactly(handle, 8, Number(headerSize), file)).toString("utf8");
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    damaged(`its header is not JSON (${messageOf(cause)})`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) damaged("its header is not an object");
  const entries = new Map<string, Entry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header as Record<string, unknown>)) {
    if (name === "__metadata__") metadata = { ...(value as Record<string, string>) };
    else entries.set(name, parseEntry(name, value, { base: 8 + Number(headerSize), size, damaged }));
  }
  // JSON.parse keeps the last of two equal names without a word: the spans then leave a hole
  let end = 8 + Number(headerSize);
  for (const [name, { start, length }] of [...entries].sort(
    ([, a], [, b]) => a.start - b.start || a.length - b.length,
  )) {
    if (start !== end) damaged(`${name} begins at byte ${start}, expected ${end}`);
    end = start + length;
  }
  if (end !== size) damaged(`its tensors end at byte ${end} of ${size}`);
  return { entries, metadata };
}

function parseEntry(
  name: string,
  value: unknown,
  { base, size, damaged }: { base: number; size: number; damaged: (what: string) => never },
): Entry {
  const {
    dtype,
    shape,
    data_offsets: offsets,
  } = (value ?? {}) as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16")
    return damaged(`${name} has dtype ${JSON.stringify(dtype)}; F32, F16 and BF16 are read`);
  const isCount = (n: unknown): n is number => typeof n === "number" && Number.isSafeInteger(n) && n >= 0;
  if (!Array.isArray(shape) || shape.length > 8 || !shape.every(isCount))
    return damaged(`${name} has shape ${JSON.stringify(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    return damaged(`${name} has offsets ${JSON.stringify(offsets)}`);
  const [from, to] = offsets as [number, number];
  const bytes = (shape as number[]).reduce((product, n) => product * BigInt(n), BigInt(bytesOf[dtype]));
  if (to < from || BigInt(to - from) !== bytes)
    damaged(`${name} [${shape.join(", ")}] takes ${bytes} bytes, its offsets span ${to - from}`);
  if (base + to > size) damaged(`${name} ends at byte ${base + to} of ${size}`);
  return { dtype, shape: shape as number[], start: base + from, length: to - from };
}

async function readExactly(handle: FileHandle, position: number, length: number, file: string): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(buffer, at, length - at, position + at);
    if (bytesRead === 0)
      throw new EngineError(`${file} ends at byte ${position + at}; more was promised`, {
        hint: "copy or download it again",
      });
    at += bytesRead;
  }
  return buffer;
}

async function readTensor(
  { file, handle, name }: { file: string; handle: FileHandle; name: string },
  { dtype, start, length }: Entry,
  into: Float32Array,
): Promise<void> {
  const width = bytesOf[dtype];
  if (length !== into.length * width)
    throw new EngineError(`${file}: ${name} holds ${length / width} numbers, ${into.length} were expected`);
  for (let at = 0; at < length; at += CHUNK) {
    const chunk = await readExactly(handle, start + at, Math.min(CHUNK, length - at), file);
    const part = into.subarray(at / width, (at + chunk.length) / width);
    if (dtype === "F32") new Uint8Array(part.buffer, part.byteOffset, part.byteLength).set(chunk);
    else {
      const halves = new Uint16Array(chunk.buffer.slice(chunk.byteOffset, chunk.byteOffset + chunk.length));
      (dtype === "F16" ? float16ToFloat32 : bfloat16ToFloat32)(halves, part);
    }
  }
}

/** Writes tensors as F32, durably. */
export function writeSafetensors(
  file: string,
  tensors: readonly { readonly name: string; readonly shape: readonly number[]; readonly data: Float32Array }[],
  metadata: Readonly<Record<string, string>> = {},
): void {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const { name, shape, data } of tensors) {
    header[name] = { dtype: "F32", shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (Buffer.byteLength(text) % 8)) % 8); // tensors begin on an 8-byte boundary
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  const views = tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  writeDurably(file, prefix, text, ...views);
}
