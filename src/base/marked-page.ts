/** @file What programs write into a page that people write, each between two comments of its own. */
import { readFileSync } from "node:fs";
import { ConfigError, messageOf } from "./errors.ts";
import { writeAtomically } from "./files.ts";

/**
 * Before an hour of measuring, not after it.
 * @throws ConfigError where the page cannot be read or has no such place
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

/** @param where the page, for the message */
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

/** A table of a page, in lines. */
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
