import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import { CheckedFile, type PageCache } from "./checked-file.ts";
import { DictionaryReader, type DictionaryWalk, type TermEntry } from "./dictionary.ts";
import { CAP, PAGE, type SegmentPart, segmentParts } from "./format.ts";
import type { SegmentManifest } from "./manifest-schema.ts";
import { PassageStoreReader } from "./passage-store.ts";

const REBUILD = "build the index again";

/** By passage. The narrow type takes half the memory and fits every corpus of passages. */
export type Lengths = Uint16Array | Uint32Array;

/** One segment. Passage lengths and every 32nd term are in memory; everything else is read page by page on demand. */
export class SegmentReader {
  readonly manifest: SegmentManifest;
  readonly lengths: Lengths;
  readonly files: Readonly<Record<SegmentPart, CheckedFile>>;
  readonly #dictionary: DictionaryReader;
  readonly #store: PassageStoreReader;

  /** @throws DataError if a file is missing, truncated or contradicts the manifest; SearchError if it is damaged */
  constructor(directory: string, manifest: SegmentManifest, cache: PageCache) {
    this.manifest = manifest;
    this.files = openParts(directory, manifest, cache);
    try {
      this.lengths = readLengths(this.files.lengths, manifest);
      this.#dictionary = new DictionaryReader(this.files.terms);
      this.#store = new PassageStoreReader({
        passages: this.files["passages.jsonl.gz"],
        offsets: this.files.offsets,
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  find(term: string): TermEntry | undefined {
    return this.#dictionary.find(term);
  }

  walkTerms(): DictionaryWalk {
    return this.#dictionary.walk();
  }

  passage(index: number): Passage {
    return this.#store.passage(index);
  }

  /** Reads and verifies every page. @throws SearchError naming the first file that was changed */
  verify(): void {
    for (const part of segmentParts) for (const _ of this.files[part].pages());
  }

  close(): void {
    for (const part of segmentParts) this.files[part].close();
  }
}

function openParts(directory: string, manifest: SegmentManifest, cache: PageCache): Record<SegmentPart, CheckedFile> {
  const paths = segmentParts.map((part) => join(directory, `${manifest.name}.${part}`));
  paths.forEach((path, i) => {
    checkSize(path, manifest.bytes[i]!);
  });
  const sums = readSums(join(directory, `${manifest.name}.sums`), manifest);
  const opened: [SegmentPart, CheckedFile][] = [];
  try {
    segmentParts.forEach((part, i) => {
      opened.push([part, new CheckedFile(paths[i]!, { size: manifest.bytes[i]!, sums: sums[i]!, cache })]);
    });
  } catch (error) {
    for (const [, file] of opened) file.close();
    throw error;
  }
  return Object.fromEntries(opened) as Record<SegmentPart, CheckedFile>;
}

function checkSize(path: string, expected: number): void {
  const size = existsSync(path) ? statSync(path).size : undefined;
  if (size === undefined) throw new DataError(`${path} is missing`, { hint: REBUILD });
  if (size !== expected) throw new DataError(`${path} has ${size} bytes, not ${expected}`, { hint: REBUILD });
}

/** @returns the CRC-32 of each page, by part */
function readSums(path: string, manifest: SegmentManifest): Uint32Array[] {
  const pages = manifest.bytes.map((size) => Math.ceil(size / PAGE));
  checkSize(path, pages.reduce((sum, count) => sum + count, 0) * 4);
  const bytes = readFileSync(path);
  if (createHash("sha256").update(bytes).digest("hex") !== manifest.sums)
    throw new DataError(`${path} was changed after it was written`, { hint: REBUILD });
  let at = 0;
  return pages.map((count) => Uint32Array.from({ length: count }, () => bytes.readUInt32LE((at += 4) - 4)));
}

function readLengths(file: CheckedFile, manifest: SegmentManifest): Lengths {
  const lengths = new Uint32Array(file.size >> 2);
  let at = 0;
  let sum = 0;
  let longest = 0;
  for (const pages of file.pages()) {
    const view = new DataView(pages.buffer, pages.byteOffset, pages.byteLength); // a page holds a whole number of lengths
    for (let i = 0; i + 4 <= view.byteLength; i += 4) {
      const length = (lengths[at++] = view.getUint32(i, true));
      sum += length;
      if (length > longest) longest = length;
    }
  }
  if (file.size !== manifest.passages * 4 || sum !== manifest.tokens) {
    const expected = `the ${manifest.tokens} terms of ${manifest.passages} passages that the manifest names`;
    throw new DataError(`${file.path} does not match ${expected}`, { hint: REBUILD });
  }
  return longest <= CAP ? Uint16Array.from(lengths) : lengths;
}
