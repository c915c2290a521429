/** @file Text of strangers that once took a reader seconds to minutes: each is read in time that grows with its length. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { withoutSlashes } from "../../base/without-slashes.ts";
import { readCorpus } from "../corpus.ts";
import { plain } from "../web/provider.ts";
import { joinSentences } from "./row.ts";

const folder = mkdtempSync(join(tmpdir(), "linear-time-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const length = 65_536;

/** Seconds of processor time, which other work on the machine does not lengthen. */
async function processorSeconds(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const headings: Readonly<Record<string, string>> = {
  "spaces between two words": `# a${" ".repeat(length)}b\n\ntext`,
  "marks at its end": `# a${"#".repeat(length)} b\n\ntext`,
  "marks and spaces": `# a${" #".repeat(length / 2)}\n\ntext`,
  "empty headings": `${"#\n".repeat(length / 2)}text`,
};

test.each(Object.entries(headings))("a Markdown heading with %s", async (name, content) => {
  const corpus = join(folder, name.replaceAll(" ", "-"));
  mkdirSync(corpus);
  writeFileSync(join(corpus, "a.md"), content);
  const read = async () => {
    for await (const passage of readCorpus(corpus)) expect(passage.text).not.toBe("");
  };
  expect(await processorSeconds(read)).toBeLessThan(3);
});

test("many short sentences, a snippet of open brackets, an address of slashes", async () => {
  const sentences = Array.from({ length: length / 2 }, () => "a.");
  expect(await processorSeconds(() => joinSentences(sentences))).toBeLessThan(1);
  for (const unit of ["<", "<a ", "<a>"])
    expect(await processorSeconds(() => plain(unit.repeat(length / unit.length)))).toBeLessThan(1);
  const slashes = "/".repeat(length);
  expect(await processorSeconds(() => withoutSlashes(`${slashes}x${slashes}`))).toBeLessThan(1);
  expect(withoutSlashes(`https://a/${slashes}`)).toBe("https://a");
});

test("sentences are joined as before: by a space where neither has one", () => {
  expect(joinSentences(["One.", "Two.", " Three. ", "Four", "", "five"])).toBe("One. Two. Three. Four five");
});
