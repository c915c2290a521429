import { createHash } from "node:crypto";
import { join } from "node:path";
import { writeDurably } from "../../base/files.ts";
import { type SegmentPart, segmentParts } from "./format.ts";
import type { SegmentManifest } from "./manifest-schema.ts";
import { OutputFile } from "./output-file.ts";

/** The files of a segment while it is being written. */
export class SegmentFiles {
  readonly parts: Readonly<Record<SegmentPart, OutputFile>>;
  readonly #directory: string;
  readonly #name: string;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
    const opened: OutputFile[] = [];
    const open = (part: SegmentPart) => {
      const file = new OutputFile(join(directory, `${name}.${part}`));
      opened.push(file);
      return [part, file];
    };
    try {
      this.parts = Object.fromEntries(segmentParts.map(open)) as Record<SegmentPart, OutputFile>;
    } catch (error) {
      for (const file of opened) file.close();
      throw error;
    }
  }

  /** Makes all files durable. */
  finish(content: { readonly passages: number; readonly tokens: number; readonly corpus: string }): SegmentManifest {
    const bytes = segmentParts.map((part) => this.parts[part].size);
    const sums = Buffer.concat(segmentParts.map((part) => u32s(this.parts[part].finish())));
    writeDurably(join(this.#directory, `${this.#name}.sums`), sums);
    return { name: this.#name, ...content, bytes, sums: createHash("sha256").update(sums).digest("hex") };
  }

  /** Also call it after a failure; it may be called twice. */
  close(): void {
    for (const part of segmentParts) this.parts[part].close();
  }
}

function u32s(values: Uint32Array): Buffer {
  const bytes = Buffer.allocUnsafe(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, i * 4);
  return bytes;
}
