/** @file The command line as a user meets it: real processes, exit codes, and the JSON contract for scripts. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { packageFolder, usualProgram } from "./support/cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "r1-searcher-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]) => runProgram(usualProgram, args);

function runProgram(program: string, args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [program, ...args],
      { env: { ...process.env, NO_COLOR: "1" } },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
    child.stdin?.end();
  });
}

const lastObject = (stdout: string): unknown => JSON.parse(stdout.trimEnd().split("\n").at(-1)!);

function file(name: string, ...rows: unknown[]): string {
  const path = join(folder, name);
  writeFileSync(path, rows.map((row) => `${typeof row === "string" ? row : JSON.stringify(row)}\n`).join(""));
  return path;
}

const commands = readdirSync(new URL("../src/cli/commands", import.meta.url)).map((name) =>
  name.replace(/(-verb)?\.ts$/, ""),
);

test("in a clone the sources run as they are, without a build", async () => {
  const { code, stdout } = await runProgram(join(packageFolder, "bin", "r1-searcher.js"), ["score", "--help"]);
  expect(stdout).toBe((await run("score", "--help")).stdout);
  expect(stdout).toContain("Usage: r1-searcher score");
  expect(code).toBe(0);
});

describe("help", () => {
  test("of the program names every command", async () => {
    const { code, stdout } = await run("--help");
    expect(code).toBe(0);
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  test.each([
    ["train"],
    ["eval"],
    ["ask"],
    ["score"],
    ["index", "build"],
    ["index", "search"],
    ["serve", "search"],
    ["index", "plan"],
    ["index", "check"],
    ["index", "append"],
    ["index", "merge"],
    ["model", "info"],
    ["model", "pretrain"],
    ["doctor"],
  ])("of %s %s shows an example and --json", async (...words) => {
    const { code, stdout } = await run(...words.filter(Boolean), "--help");
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples?:\\n  \\$ r1-searcher ${words.filter(Boolean).join(" ")}`));
    expect(stdout).toContain("--json");
  });
});

describe("a mistake is exit code 2 and one clear line", () => {
  test.each([
    ["an unknown command", ["trian"], "Did you mean train?"],
    ["an unknown option", ["train", "--resum"], "Did you mean --resume?"],
    ["a number out of range", ["index", "search", "x", "y", "-k", "0"], "at least 1"],
    ["a setting without a value", ["train", "--set", "seed"], "key=value"],
    ["no question", ["ask"], "ask got no question"],
    ["a file of questions without an index", ["eval", "x", "--benchmark", "q.jsonl"], "needs --index or --search"],
    [
      "two places to search",
      ["ask", "q", "--index", "a", "--search", "http://b"],
      "--index and --search are both given",
    ],
    ["a server of nothing", ["serve", "search"], "neither --index nor --search"],
    ["an open server without a token", ["serve", "search", "--index", "x", "--host", "0.0.0.0"], "there is no --token"],
    ["a password in an address", ["ask", "q", "--search", "pgvector://u:p@h/d"], "holds a password"],
  ])("%s", async (_, args, text) => {
    const { code, stdout, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
    expect(stderr).not.toContain("    at ");
    expect(stdout).toBe("");
  });
});

describe("score", () => {
  const right = { question: "Q", answer: "Emma", pred_ans: "emma." };
  const half = { question: "Q", answer: "Jane Austen", pred_ans: "Jane" };

  test("prints per cent with one decimal, and one object for scripts", async () => {
    const { code, stdout, stderr } = await run("score", file("results.jsonl", right, half), "--json");
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(lastObject(stdout)).toEqual({ n: 2, em: 50, coverEm: 50, coverEm2: 50, f1: 83.3 });
    expect(stderr).toContain("83.3");
  });

  test.each([
    ["a row that is not JSON", [right, "{"], /bad\.jsonl:2 is not JSON/],
    ["a row without gold", [{ question: "Q", pred_ans: "x" }], /bad\.jsonl:1: answer/],
    ["an empty file", [], /no rows/],
  ])("%s is named by its line", async (_, rows, message) => {
    const { code, stderr, stdout } = await run("score", file("bad.jsonl", ...rows), "--json");
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stdout).toBe("");
  });
});

test("an index is built, found again and searched", async () => {
  const corpus = file(
    "corpus.jsonl",
    { id: "a", title: "Ada", text: "wrote the first program" },
    { id: "b", title: "Bob", text: "baked \u001b[31m bread" },
  );
  const out = join(folder, "index");
  const built = await run("index", "build", corpus, "--out", out, "--json");
  expect(lastObject(built.stdout)).toMatchObject({ passages: 2 });

  const found = await run("index", "search", out, "bread", "-k", "5", "--json");
  expect(lastObject(found.stdout)).toMatchObject({
    hits: [{ id: "b", title: "Bob", text: "baked \u001b[31m bread", rank: 1 }],
  });
  expect(found.stderr).not.toContain("\u001b");

  const again = await run("index", "build", corpus, "--out", out, "--json");
  expect([again.code, again.stdout]).toEqual([2, ""]);
});

test("an index is planned, extended, put in order and checked, and a dead one is refused", async () => {
  const passages = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => ({
      id: `p${from + i}`,
      title: "",
      text: `alpha${from + i} studies the beta${from + i} stones`,
    }));
  const out = join(folder, "grown-index");
  const corpus = file("first.jsonl", ...passages(0, 40));
  expect(lastObject((await run("index", "plan", corpus, "--json")).stdout)).toMatchObject({
    passages: 40,
    diskBytes: expect.any(Number),
    ramBytes: expect.any(Number),
    seconds: expect.any(Number),
  });
  await run("index", "build", corpus, "--out", out, "--stem", "--json");
  const appended = await run(
    "index",
    "append",
    out,
    file("more.jsonl", ...passages(40, 60), "{"),
    "--skip-bad",
    "--json",
  );
  expect(lastObject(appended.stdout)).toMatchObject({ passages: 60, segments: 2, badRows: 1 });
  expect(appended.stderr).toMatch(/skipped: .*more\.jsonl:21/);
  expect(lastObject((await run("index", "merge", out, "--json")).stdout)).toMatchObject({ passages: 60, segments: 1 });
  const found = await run("index", "search", out, "study of stone beta50", "-k", "1", "--json");
  expect(lastObject(found.stdout)).toMatchObject({ hits: [{ id: "p50" }] });

  const right = file(
    "right.jsonl",
    ...[1, 20, 45, 59].map((i) => ({ question: `what of beta${i}`, passages: [`p${i}`] })),
  );
  const wrong = file("wrong.jsonl", ...[1, 20, 45, 59].map((i) => ({ question: `what of beta${i}`, passages: ["x"] })));
  const healthy = await run("index", "check", out, "--questions", right, "--json");
  expect([healthy.code, lastObject(healthy.stdout)]).toEqual([
    0,
    expect.objectContaining({ n: 4, recall: { "2": 1, "5": 1, "10": 1 }, healthy: true }),
  ]);
  const mixed = file(
    "mixed.jsonl",
    { question: "what of beta7", answer: "beta7", source: "us" },
    ...[1, 2].map((i) => ({ question: `what of beta${i}`, passages: [i === 1 ? "p1" : "x"] })),
  );
  const kept = join(folder, "deep", "kept.jsonl");
  const keeping = await run("index", "check", out, "--questions", mixed, "--keep", kept, "--within", "1", "--json");
  expect(lastObject(keeping.stdout)).toMatchObject({ n: 3, kept: 2 });
  const rows = readFileSync(kept, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(rows).toEqual([
    { question: "what of beta7", answer: "beta7", source: "us" },
    { question: "what of beta1", passages: ["p1"] },
  ]);
  const dead = await run("index", "check", out, "--questions", wrong, "--json");
  expect([dead.code, lastObject(dead.stdout)]).toEqual([
    1,
    expect.objectContaining({ recall: { "2": 0, "5": 0, "10": 0 }, healthy: false }),
  ]);
  expect(dead.stderr).toContain("recall@10 is 0 %");
  const doctor = await run("doctor", "--index", out, "--questions", wrong, "--json");
  expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringContaining("recall@10 is 0 %")]);
});

test("doctor says what this machine can run", async () => {
  const { code, stdout } = await run("doctor", "--json");
  expect(lastObject(stdout)).toMatchObject({
    ok: code === 0,
    findings: [{ name: "node" }, {}, {}, {}, { name: "engine" }, { name: "sampler", state: "ok" }],
  });
});
