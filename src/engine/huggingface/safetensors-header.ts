/**
 * @file Parses the header of a safetensors file and checks it completely before memory is allocated for the tensors.
 */
import { messageOf } from "../../base/errors.ts";
import { isObject, type JsonObject, parseJsonObject, show } from "./json-file.ts";

export interface TensorEntry {
  readonly dtype: keyof typeof bytesPerNumber;
  readonly shape: readonly number[];
  /** Offset from the beginning of the file, in bytes. */
  readonly start: number;
  readonly length: number;
}

export interface SafetensorsHeader {
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

export const bytesPerNumber = { F32: 4, F16: 2, BF16: 2 } as const;
export const METADATA = "__metadata__";

const MAX_HEADER = 25 * 2 ** 20;
const MAX_RANK = 8;

/** @returns the length of the header in bytes, or what is wrong with the claimed length */
export function headerLength(prefix: Uint8Array, fileSize: number): number | string {
  const claimed = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (claimed <= BigInt(Math.min(MAX_HEADER, fileSize - 8))) return Number(claimed);
  return `its header claims ${claimed} bytes; the file has ${fileSize} and ${MAX_HEADER} are allowed`;
}

/**
 * @param header the bytes that follow the 8-byte length
 * @throws Error that says what is wrong: duplicate names, numbers that are not integers, overlapping ranges or gaps
 * between them, shapes that do not match their range, bytes left over
 */
export function parseHeader(header: Uint8Array, fileSize: number): SafetensorsHeader {
  let json: JsonObject;
  try {
    json = parseJsonObject(header, { wholeNumbers: true });
  } catch (cause) {
    throw new Error(`its header cannot be read: ${messageOf(cause)}`, { cause });
  }
  const base = 8 + header.byteLength;
  const entries = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(json)) {
    if (name !== METADATA) entries.set(name, parseEntry(name, value, { base, fileSize }));
  }
  checkSpans(entries, base, fileSize);
  return { entries, metadata: metadataOf(json[METADATA]) };
}

/** Tensors must be contiguous from the end of the header to the end of the file. */
function checkSpans(entries: ReadonlyMap<string, TensorEntry>, base: number, fileSize: number): void {
  let end = base;
  const inOrder = [...entries].sort(([, a], [, b]) => a.start - b.start || a.length - b.length);
  for (const [name, { start, length }] of inOrder) {
    if (start !== end) throw new Error(`${name} begins at byte ${start}, expected ${end}`);
    end = start + length;
  }
  if (end !== fileSize) throw new Error(`its tensors end at byte ${end} of ${fileSize}`);
}

function metadataOf(value: unknown = {}): Record<string, string> {
  if (!isObject(value) || Object.values(value).some((text) => typeof text !== "string"))
    throw new Error(`${METADATA} is ${show(value)}; expected texts by name`);
  return { ...(value as Record<string, string>) };
}

function parseEntry(
  name: string,
  value: unknown,
  { base, fileSize }: { readonly base: number; readonly fileSize: number },
): TensorEntry {
  if (!isObject(value)) throw new Error(`${name} is ${show(value)}; expected dtype, shape and data_offsets`);
  const { dtype, shape, data_offsets: offsets } = value as { dtype?: unknown; shape?: unknown; data_offsets?: unknown };
  if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16")
    throw new Error(`${name} has dtype ${show(dtype)}; F32, F16 and BF16 are read`);
  if (!isCounts(shape) || shape.length > MAX_RANK) throw new Error(`${name} has shape ${show(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2) throw new Error(`${name} has data_offsets ${show(offsets)}`);
  const [from, to] = offsets as [number, number];
  const bytes = shape.reduce((product, n) => product * BigInt(n), BigInt(bytesPerNumber[dtype]));
  if (BigInt(to) - BigInt(from) !== bytes)
    throw new Error(
      `${name} [${shape.join(", ")}] ${dtype} takes ${bytes} bytes, its data_offsets are ${show(offsets)}`,
    );
  if (base + to > fileSize) throw new Error(`${name} ends at byte ${base + to} of ${fileSize}`);
  return { dtype, shape, start: base + from, length: to - from };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => typeof n === "number" && Number.isSafeInteger(n) && n >= 0);
}
