import { createHash } from "node:crypto";
import { closeSync, createReadStream, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Makes the entries of a directory durable. On Windows directories cannot be opened, so it does nothing there. */
export function fsyncDirectory(directory: string): void {
  if (process.platform === "win32") return;
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Writes parts to a new file and fsyncs it. */
export function writeDurably(file: string, ...parts: (string | Uint8Array)[]): void {
  const handle = openSync(file, "w");
  try {
    for (const part of parts) {
      const bytes = typeof part === "string" ? Buffer.from(part) : part;
      for (let at = 0; at < bytes.byteLength; )
        at += writeSync(handle, bytes, at, Math.min(bytes.byteLength - at, 1 << 30));
    }
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Replaces a file atomically: a reader, also after a crash, sees the old content or the new, never a mixture. */
export function writeAtomically(file: string, ...parts: (string | Uint8Array)[]): void {
  const temporary = `${file}.tmp-${process.pid}`;
  writeDurably(temporary, ...parts);
  renameSync(temporary, file);
  fsyncDirectory(dirname(file));
}

export async function sha256File(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 4 << 20 })) hash.update(chunk as Buffer); // twice as fast as with 64 kB
  return hash.digest("hex");
}
