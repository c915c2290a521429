/** @file What every refusal of the command line looks like: two lines, a code, and no trace left behind. */
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import pLimit from "p-limit";
import { expect } from "vitest";
import { startCli } from "./cli-process.ts";

export interface Refusal {
  /** Puts what is wrong into the folder of the case. */
  readonly given?: (folder: string) => void;
  readonly args: (folder: string) => readonly string[];
  /** 2: asked for wrongly · 1: what was given is bad. */
  readonly code: 1 | 2;
  readonly says: readonly (string | RegExp)[];
  /** Said on the way; nothing where not given. */
  readonly warns?: RegExp;
}

/** Programs that run at once. */
export const fewAtOnce = pLimit(2);

/** @param folder of the case, made here */
export async function expectRefusal(folder: string, { given, args, code, says, warns = /^$/ }: Refusal): Promise<void> {
  mkdirSync(folder);
  given?.(folder);
  const before = contentOf(folder);
  const end = await fewAtOnce(() => startCli(args(folder)).ended);
  expect(end.stderr).toMatch(/^error: .+\nhint: .+\n$/); // two lines, no stack trace
  for (const text of says) expect(end.stderr).toMatch(text);
  expect(end.stdout).toMatch(warns);
  expect(end.code).toBe(code);
  expect(contentOf(folder)).toEqual(before);
}

const largestCompared = 1 << 26;

/** Every file with its bytes, every folder with none. */
function contentOf(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(
    entries.map((path) => {
      const full = join(folder, path);
      const status = statSync(full);
      if (status.isDirectory()) return [path, "folder"];
      return [path, status.size > largestCompared ? `${status.size} bytes` : readFileSync(full, "latin1")];
    }),
  );
}
