import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { appendLine, readLines } from "./line-file.ts";

const folder = mkdtempSync(join(tmpdir(), "lines-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("lines come back in order, and one that was torn is as good as never written", () => {
  const file = join(folder, "torn.jsonl");
  expect(readLines(file)).toEqual([]);
  appendLine(file, '{"step":0}');
  appendLine(file, '{"step":1}');
  expect(readFileSync(file, "utf8")).toBe('{"step":0}\n{"step":1}\n');
  appendFileSync(file, '{"ste');
  expect(readLines(file).map(({ value }) => value)).toEqual([{ step: 0 }, { step: 1 }]);
});

test("a bad line before the last is damage, named by its number", () => {
  const file = join(folder, "damaged.jsonl");
  for (const line of ['{"step":0}', '{"st', '{"step":2}']) appendLine(file, line);
  expect(() => readLines(file)).toThrow("damaged.jsonl:2 is damaged");
});
