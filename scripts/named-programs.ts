/** @file Runs one of a table of programs by its name: `npm run experiment -- NAME` and `npm run bench -- NAME`. */
import { closest, distance } from "fastest-levenshtein";
import { ConfigError } from "../src/base/errors.ts";
import { refuse } from "./program-options.ts";

export interface NamedProgram {
  readonly name: string;
  /** From the root of the repository. */
  readonly file: string;
  /** What it finds out, in one line. */
  readonly summary: string;
  /** How long it usually takes with its default options on two cores. */
  readonly duration: string;
  /** What it needs besides `npm ci`. */
  readonly needs?: string;
}

export interface ProgramTable {
  /** The npm script: `npm run WORD -- NAME`. */
  readonly word: string;
  /** The first lines of the list. */
  readonly title: string;
  readonly programs: readonly NamedProgram[];
  /** Runs where no name is given. Without one, the list is printed. */
  readonly usual?: string;
}

/** Imports the program that the command line names; it reads its own options from `process.argv`. */
export async function runNamed(table: ProgramTable): Promise<void> {
  const [first] = process.argv.slice(2);
  const isNamed = first !== undefined && !first.startsWith("-");
  if (first === "--help" || first === "-h" || (first === undefined && table.usual === undefined)) {
    process.stdout.write(listOf(table));
    return;
  }
  const name = isNamed ? first : table.usual;
  const program = table.programs.find((one) => one.name === name);
  if (program === undefined) return refuse(unknownName(table, name ?? first!));
  if (isNamed) process.argv.splice(2, 1);
  await import(new URL(`../${program.file}`, import.meta.url).href);
}

function unknownName({ word, programs }: ProgramTable, given: string): ConfigError {
  const near = closest(
    given,
    programs.map(({ name }) => name),
  );
  const isNear = near.includes(given) || distance(given, near) <= near.length / 2;
  return new ConfigError(`there is no ${word} "${given}"${isNear ? ` (did you mean ${near}?)` : ""}`, {
    hint: `npm run ${word} -- --help lists all of them`,
  });
}

export function listOf({ word, title, programs, usual }: ProgramTable): string {
  const widthOf = (column: "name" | "duration") => Math.max(...programs.map((program) => program[column].length)) + 2;
  const [nameWidth, durationWidth] = [widthOf("name"), widthOf("duration")];
  const lines = programs.map(({ name, summary, duration, needs }) => {
    const notes = [name === usual ? "runs where no name is given" : "", needs === undefined ? "" : `needs ${needs}`];
    const noted = notes.filter((note) => note !== "").map((note) => ` (${note})`);
    return `  ${name.padEnd(nameWidth)}${duration.padEnd(durationWidth)}${summary}${noted.join("")}\n`;
  });
  return `${title}\n\nusage: npm run ${word} -- NAME [options]     (each has --help)\n\n${lines.join("")}`;
}
