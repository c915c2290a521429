/**
 * @file Reads vectors made elsewhere, in NumPy's `.npy` and FAISS's flat index files. The size is checked before a row
 * is read.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { DataError } from "../../base/errors.ts";

export type Metric = "ip" | "l2";

export interface VectorFile {
  readonly count: number;
  readonly dimension: number;
  /** FAISS's metric; undefined if the file does not say. */
  readonly metric: Metric | undefined;
  /** In order; each is a copy. */
  rows(): Generator<Float32Array>;
  close(): void;
}

interface Layout {
  readonly count: number;
  readonly dimension: number;
  readonly metric: Metric | undefined;
  /** Offset of the first row. */
  readonly start: number;
}

const HEADER_BYTES = 65_536;
const CHUNK_BYTES = 1 << 20;
const MAX_DIMENSION = 65_536;

/** @throws DataError naming the file if it has another format or number type, or is truncated */
export function openVectorFile(file: string): VectorFile {
  let handle: number;
  try {
    handle = openSync(file, "r");
  } catch (cause) {
    throw new DataError(`${file} cannot be opened`, { hint: "give a .npy file or a FAISS flat index", cause });
  }
  try {
    const { size } = fstatSync(handle);
    const layout = layoutOf(file, readUpTo(handle, 0, Math.min(size, HEADER_BYTES)));
    const { count, dimension, start } = layout;
    if (size !== start + count * dimension * 4)
      throw new DataError(`${file} has ${size} bytes, not the ${start + count * dimension * 4} of its header`, {
        hint: "copy it again: it is truncated or was changed",
      });
    return { ...layout, rows: () => rowsOf(file, handle, layout), close: () => closeSync(handle) };
  } catch (error) {
    closeSync(handle);
    throw error;
  }
}

function layoutOf(file: string, header: Buffer): Layout {
  const layout =
    header.toString("latin1", 0, 6) === "\x93NUMPY"
      ? numpyLayout(file, header)
      : /^IxF[I2l]$/.test(header.toString("latin1", 0, 4))
        ? faissLayout(file, header)
        : undefined;
  if (layout === undefined)
    throw new DataError(`${file} is neither .npy nor a FAISS flat index`, {
      hint: "save vectors by numpy.save as float32, or an IndexFlatIP or IndexFlatL2 by faiss.write_index",
    });
  const { count, dimension } = layout;
  if (!(dimension >= 1 && dimension <= MAX_DIMENSION && count >= 1 && Number.isSafeInteger(count * dimension * 4)))
    throw new DataError(`${file} says that it holds ${count} vectors of ${dimension}`, {
      hint: `expected at least one, of 1 to ${MAX_DIMENSION}`,
    });
  return layout;
}

/** "\x93NUMPY", u8 version, u8, header length as u16 (u32 from version 2 on), then a Python dictionary. */
function numpyLayout(file: string, header: Buffer): Layout {
  const fail = (what: string): never => {
    throw new DataError(`${file}: ${what}`, {
      hint: "save a matrix of float32, row by row: numpy.save(file, x.astype('float32'))",
    });
  };
  if (header.length < 12) return fail("its header is cut");
  const isFirst = header[6] === 1;
  const length = isFirst ? header.readUInt16LE(8) : header.readUInt32LE(8);
  const from = isFirst ? 10 : 12;
  if (from + length > header.length) return fail("its header is cut, or longer than 64 KiB");
  const text = header.toString("latin1", from, from + length);
  const type = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  if (type !== "<f4") return fail(`its numbers are of type ${type ?? "unknown"}, not <f4`);
  if (!/'fortran_order'\s*:\s*False/.test(text)) return fail("it is stored column by column");
  const shape = /'shape'\s*:\s*\((\d{1,15}),\s*(\d{1,15}),?\s*\)/.exec(text);
  if (shape === null) return fail("it is no matrix");
  return { count: Number(shape[1]), dimension: Number(shape[2]), metric: undefined, start: from + length };
}

/** Fourcc, i32 dimension, i64 count, two obsolete i64, u8 trained, i32 metric (0 inner product, 1 L2), u64 floats. */
function faissLayout(file: string, header: Buffer): Layout {
  const START = 45;
  const fail = (what: string): never => {
    throw new DataError(`${file}: ${what}`, { hint: "only IndexFlatIP and IndexFlatL2 can be read" });
  };
  if (header.length < START) return fail("its header is cut");
  const dimension = header.readInt32LE(4);
  const count = Number(header.readBigInt64LE(8));
  const metric = header.readInt32LE(33);
  if (metric !== 0 && metric !== 1) return fail(`its metric is ${metric}`);
  const floats = Number(header.readBigUInt64LE(37));
  if (floats !== count * dimension) return fail(`it holds ${floats} numbers, not ${count} × ${dimension}`);
  return { count, dimension, metric: metric === 0 ? "ip" : "l2", start: START };
}

function* rowsOf(file: string, handle: number, { count, dimension, start }: Layout): Generator<Float32Array> {
  const rowBytes = dimension * 4;
  const together = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  for (let first = 0; first < count; first += together) {
    const some = Math.min(together, count - first);
    const bytes = readUpTo(handle, start + first * rowBytes, some * rowBytes);
    if (bytes.length < some * rowBytes) throw new DataError(`${file} became shorter while it was read`);
    for (let i = 0; i < some; i++) {
      const row = new Float32Array(dimension);
      for (let d = 0; d < dimension; d++) row[d] = bytes.readFloatLE(i * rowBytes + d * 4);
      yield row;
    }
  }
}

function readUpTo(handle: number, from: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let at = 0;
  while (at < size) {
    const read = readSync(handle, bytes, at, size - at, from + at);
    if (read === 0) break;
    at += read;
  }
  return bytes.subarray(0, at);
}
