/** @file Vector files and indexes that are damaged, or do not belong together, are refused by name. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { buildDenseIndex } from "./build.ts";
import { openDenseIndex } from "./open.ts";
import { asyncOf, faissBytes, fixture, numbered, randomRows, vectorsEncoder } from "./testing/vectors.ts";
import { wordsEncoder } from "./testing/words-encoder.ts";
import { openVectorFile } from "./vector-files.ts";

const folder = mkdtempSync(join(tmpdir(), "dense-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;
const fresh = (ending = "") => join(folder, `${made++}${ending}`);

function faissFile(...given: Parameters<typeof faissBytes>): string {
  const file = fresh(".faiss");
  writeFileSync(file, faissBytes(...given));
  return file;
}

test("a file that is cut, of another type or of another kind is refused by name", () => {
  const whole = readFileSync(fixture("flat-ip.faiss"));
  const npy = readFileSync(fixture("queries.npy"));
  const written = (bytes: Uint8Array) => {
    const file = fresh(".bin");
    writeFileSync(file, bytes);
    return file;
  };
  const changed = (bytes: Buffer, change: (copy: Buffer) => void) => {
    const copy = Buffer.from(bytes);
    change(copy);
    return copy;
  };
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from("IxFI"),
    Buffer.from("IxHNSW and more of it, long enough to be a header of some kind"),
    whole.subarray(0, whole.length - 1),
    changed(whole, (copy) => copy.writeInt32LE(-5, 4)),
    changed(whole, (copy) => copy.writeBigInt64LE(2n ** 60n, 8)),
    changed(whole, (copy) => copy.writeInt32LE(7, 33)),
    npy.subarray(0, 11),
    npy.subarray(0, npy.length - 4),
    Buffer.from(npy.toString("latin1").replace("<f4", "<f8"), "latin1"),
  ]) {
    const file = written(bytes);
    expect(() => openVectorFile(file)).toThrow(file);
  }
});

test("an index that was changed, or asked by another encoder, does not open", async () => {
  const directory = fresh();
  await buildDenseIndex(asyncOf(numbered(5)), directory, { encoder: wordsEncoder() });
  await expect(openDenseIndex(directory, { encoder: wordsEncoder(64) })).rejects.toThrow("another encoder");
  for (const name of ["dense.codes", "dense.scales", "dense.sums", "manifest.json"]) {
    const file = join(directory, name);
    const kept = fresh();
    copyFileSync(file, kept);
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(file, bytes);
    await expect(openDenseIndex(directory, { encoder: wordsEncoder() })).rejects.toThrow(directory);
    copyFileSync(kept, file);
  }
  await (await openDenseIndex(directory, { encoder: wordsEncoder() })).close();
});

test("vectors that are not those of the corpus leave no index", async () => {
  const rows = randomRows(4, "few");
  for (const count of [3, 5]) {
    const vectors = openVectorFile(faissFile(rows, "ip"));
    const directory = fresh();
    const building = buildDenseIndex(asyncOf(numbered(count)), directory, { encoder: vectorsEncoder(rows), vectors });
    await expect(building).rejects.toThrow("4 vectors");
    vectors.close();
    await expect(openDenseIndex(directory, { encoder: wordsEncoder() })).rejects.toThrow(directory);
  }
});
