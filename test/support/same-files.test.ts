import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { compareFolders } from "./same-files.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "same-files-"));
  folders.push(folder);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const whole = { "a.txt": "one", "inner/b.txt": "two" };
const compare = (other: Readonly<Record<string, string>>) =>
  compareFolders(folderOf(whole), folderOf(other), (path) => path !== "timing.jsonl");

test("equal folders have no difference, and what is not compared may differ", () => {
  expect(compare({ ...whole, "timing.jsonl": "1" })).toEqual({ files: 2, bytes: 6, difference: undefined });
});

test.each([
  [{ ...whole, "inner/b.txt": "twO" }, "inner/b.txt differs from byte 2 (of 3)"],
  [{ ...whole, "inner/b.txt": "two and more" }, "inner/b.txt differs from byte 3 (of 3)"],
  [{ "a.txt": "one" }, "inner/b.txt is missing"],
  [{ ...whole, "a.txt.tmp-7": "" }, "a.txt.tmp-7 is in"],
])("%j is told apart", (other, difference) => {
  expect(compare(other).difference).toContain(difference);
});
