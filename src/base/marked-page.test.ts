import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkMarked, replaceMarked, writeMarked } from "./marked-page.ts";

test("what is written goes between the two comments of its mark, however often; a page without them is refused", () => {
  const directory = mkdtempSync(join(tmpdir(), "marked-"));
  const file = join(directory, "page.md");
  const page = (text: string) => `# Page\n<!-- a b -->\n${text}\n<!-- /a b -->\nafter\n<!-- c -->\n<!-- /c -->\n`;
  writeFileSync(file, page("old"));
  checkMarked(file, "a b");
  writeMarked(file, "a b", "new");
  writeMarked(file, "a b", "newer\nlines");
  expect(readFileSync(file, "utf8")).toBe(page("newer\nlines"));
  expect(replaceMarked(page("old"), "a b", (old) => `${old}er`, "x")).toBe(page("older"));
  for (const mark of ["a", "b"]) expect(() => checkMarked(file, mark)).toThrow(`page.md has no place for "${mark}"`);
  expect(() => replaceMarked("<!-- /d --><!-- d -->", "d", String, "the page")).toThrow(/the page has no place/);
  rmSync(directory, { recursive: true });
  expect(() => checkMarked(file, "a b")).toThrow(/cannot be read/);
});
