/** @file `npm run experiment` and `npm run bench`: their tables name what exists, and all of it, and each program explains itself. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test, vi } from "vitest";
import { benchmarks } from "../bench/table.ts";
import packageJson from "../package.json" with { type: "json" };
import { listOf } from "../scripts/named-programs.ts";
import { experiments } from "./experiments/table.ts";

const root = new URL("../", import.meta.url);
const all = [experiments, benchmarks].flatMap(({ word, programs }) =>
  programs.map((program) => ({ ...program, command: `npm run ${word} -- ${program.name}` })),
);

test("package.json has a few scripts, and the rest are named programs", () => {
  const scripts = ["start", "test", "check", "build", "bench", "experiment", "prepack"];
  expect(Object.keys(packageJson.scripts)).toEqual(scripts);
});

test("every experiment and every benchmark is in its table", () => {
  const filesIn = (folder: string) =>
    readdirSync(new URL(folder, root), { withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts") && !entry.name.endsWith(".test.ts"))
      .map(({ name }) => `${folder}${name}`);
  const found = [
    ...filesIn("test/experiments/").filter((path) => !/\/(run|table)\.ts$/.test(path)),
    ...filesIn("test/parity/").filter((path) => path.includes("/compare-")),
    ...readdirSync(new URL("bench/", root))
      .map((folder) => `bench/${folder}/run.ts`)
      .filter((path) => existsSync(new URL(path, root))),
  ];
  expect(all.map(({ file }) => file).sort()).toEqual(found.sort());
});

describe("--help", () => {
  class Ended extends Error {}
  const { argv } = process;
  afterEach(() => {
    vi.restoreAllMocks();
    process.argv = argv;
  });

  // in this process: two dozen programs that each compile the sources again would take a minute
  test.each(all)("$command says what it does and how it is called", async ({ name, file, command }) => {
    let printed = "";
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      printed += text;
      return true;
    });
    vi.spyOn(process.stderr, "write").mockReturnValue(true); // some report the end that is thrown here
    const exit = vi.spyOn(process, "exit").mockImplementation(() => {
      throw new Ended();
    });
    process.argv = [process.execPath, file, "--help"];
    await import(new URL(file, root).href).catch((error) => {
      if (!(error instanceof Ended)) throw error;
    });
    expect(exit.mock.calls[0]).toEqual([0]);
    const usage = name === benchmarks.usual ? "npm run bench -- [" : command;
    expect(printed).toContain(`\nusage: ${usage}`);
    expect(printed).toContain("  --help\n");
    expect(printed.indexOf("usage:")).toBeGreaterThan(20);
  });
});

describe("the command line", () => {
  const run = (script: string, ...options: readonly string[]) =>
    spawnSync(process.execPath, ["--import", "tsx", fileURLToPath(new URL(script, root)), ...options], {
      encoding: "utf8",
    });

  test("lists the experiments where none is named, each in one line", () => {
    const { stdout, status } = run("test/experiments/run.ts");
    expect(stdout).toBe(listOf(experiments));
    expect(status).toBe(0);
    for (const { name, duration, summary } of experiments.programs)
      expect(stdout).toMatch(new RegExp(`^  ${name} +${duration} +${summary}`, "m"));
  });

  test("refuses a name that is not there, and says which one was meant", () => {
    const { stderr, status } = run("test/experiments/run.ts", "serach-exact", "--queries", "1");
    expect(stderr).toBe(
      'error: there is no experiment "serach-exact" (did you mean search-exact?)\nhint: npm run experiment -- --help lists all of them\n',
    );
    expect(status).toBe(2);
  });

  test("gives a program its options, and refuses those that it does not have", () => {
    const { stderr, status } = run("bench/run.ts", "search", "--passage", "5");
    expect(stderr).toMatch(/^error: Unknown option '--passage'.*\nhint: --help lists the options\n$/);
    expect(status).toBe(2);
  });
});
