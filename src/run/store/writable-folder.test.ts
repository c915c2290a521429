import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { ConfigError } from "../../base/errors.ts";
import { makeWritable } from "./writable-folder.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "writable-"));
  folders.push(folder);
  return folder;
}

test("folders are made, and those that stay empty can be taken back", () => {
  const root = newFolder();
  const undo = makeWritable(join(root, "a", "b", "c"));
  expect(readdirSync(join(root, "a", "b", "c"))).toEqual([]);
  writeFileSync(join(root, "a", "kept"), "");
  undo();
  expect(readdirSync(join(root, "a"))).toEqual(["kept"]);
});

test("a folder that was there is not taken back", () => {
  const root = newFolder();
  makeWritable(root)();
  expect(existsSync(root)).toBe(true);
});

test("a place below a file is refused by name, and nothing is made", () => {
  const root = newFolder();
  writeFileSync(join(root, "file"), "");
  expect(() => makeWritable(join(root, "file", "a", "b"))).toThrow(ConfigError);
  expect(() => makeWritable(join(root, "file"))).toThrow("/file cannot be written");
  expect(readdirSync(root)).toEqual(["file"]);
});
