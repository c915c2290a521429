/**
 * @file Node's own file functions with a tap: every call of this thread that changes a disk can be counted, made to
 * fail, or watched. Everything that imports from node:fs goes through it, the engine's writers included.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

export interface DiskCall {
  /** From 1, since `tapDisk`. */
  readonly nth: number;
  readonly name: "open" | "write" | "fsync" | "rename" | "mkdir" | "copy" | "remove";
  /** What it is about, a path or a descriptor. */
  readonly target: string | number;
}

export interface DiskTap {
  /** May throw, in place of the call. For a write it may say how many bytes are to be written. */
  readonly before?: (call: DiskCall) => number | undefined;
  readonly after?: (call: DiskCall) => void;
}

const real = {
  openSync: fs.openSync,
  writeSync: fs.writeSync,
  fsyncSync: fs.fsyncSync,
  renameSync: fs.renameSync,
  mkdirSync: fs.mkdirSync,
  copyFileSync: fs.copyFileSync,
  rmSync: fs.rmSync,
};

/** @returns takes the tap away again */
export function tapDisk({ before, after }: DiskTap): () => void {
  let count = 0;
  const through = <R>(name: DiskCall["name"], target: unknown, work: (limit: number | undefined) => R): R => {
    const call: DiskCall = { nth: ++count, name, target: target as string | number };
    const limit = before?.(call);
    const result = work(limit);
    after?.(call);
    return result;
  };
  const simple = <A extends unknown[], R>(name: DiskCall["name"], work: (...args: A) => R) =>
    ((...args: A) => through(name, args[0], () => work(...args))) as (...args: A) => R;
  const write = (handle: number, bytes: Uint8Array, offset = 0, length = bytes.byteLength - offset) =>
    through("write", handle, (limit = length) => real.writeSync(handle, bytes, offset, Math.min(limit, length)));
  const open = (path: fs.PathLike, flags: fs.OpenMode = "r", mode?: fs.Mode) =>
    isReading(flags) ? real.openSync(path, flags, mode) : through("open", path, () => real.openSync(path, flags, mode));
  Object.assign(fs, {
    openSync: open,
    writeSync: write,
    fsyncSync: simple("fsync", real.fsyncSync),
    renameSync: simple("rename", real.renameSync),
    mkdirSync: simple("mkdir", real.mkdirSync),
    copyFileSync: simple("copy", real.copyFileSync),
    rmSync: simple("remove", real.rmSync),
  });
  syncBuiltinESMExports();
  return () => {
    Object.assign(fs, real);
    syncBuiltinESMExports();
  };
}

const isReading = (flags: fs.OpenMode) => flags === "r";

/** As the system would refuse it. */
export function refusal(code: string, { name, target }: DiskCall): Error {
  return Object.assign(new Error(`${code}: injected, ${name} ${target}`), { code, syscall: name });
}
