/** @file Writes generated text into a hand-written Markdown page, between two comments that mark its place. */
import { readFileSync } from "node:fs";
import { ConfigError, messageOf } from "./errors.ts";
import { writeAtomically } from "./files.ts";

/**
 * Checks the page before a long measurement rather than after it.
 * @throws ConfigError if the page cannot be read or does not have the comments
 */
export function checkMarked(file: string, mark: string): void {
  replaceMarked(read(file), mark, (old) => old, file);
}

/** Puts `text` between the comments `<!-- mark -->` and `<!-- /mark -->` of a page. */
export function writeMarked(file: string, mark: string, text: string): void {
  writeAtomically(
    file,
    replaceMarked(read(file), mark, () => text, file),
  );
}

/** @param where name of the page, for the message */
export function replaceMarked(page: string, mark: string, change: (old: string) => string, where: string): string {
  const [open, close] = [`<!-- ${mark} -->`, `<!-- /${mark} -->`];
  const [from, to] = [page.indexOf(open) + open.length, page.indexOf(close)];
  if (from < open.length || to < from) {
    throw new ConfigError(`${where} has no place for "${mark}"`, {
      hint: `put the lines ${open} and ${close} where it belongs`,
    });
  }
  return `${page.slice(0, from)}\n${change(page.slice(from, to).trim())}\n${page.slice(to)}`;
}

/** A Markdown table. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}
