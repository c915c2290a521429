import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, expect, test } from "vitest";
import { CheckpointError, ConfigError } from "../../base/errors.ts";
import type { StepRecord } from "../../rl/parts.ts";
import { trajectory } from "../../rl/testing/tiny-run.ts";
import { openRunFolder, recipeDifferences } from "./run-folder.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "run-"));
  folders.push(folder);
  return folder;
}

const recipe = { name: "tiny", optimizer: { learningRate: 0.1 }, stages: [{ name: "a", steps: 2 }] };
const fresh = { recipe, resume: false };
const again = { recipe, resume: true };
const attempt = { trajectory: trajectory({ logprob: -0.123456789 }), reward: { total: 1, parts: [] }, advantage: 0.5 };
const recordOf = (step: number): StepRecord => ({
  step,
  stage: "a",
  metrics: { "reward/total": step },
  timing: { sample: 1 },
  attempts: [attempt],
});

function filled(steps: number) {
  const directory = newFolder();
  const run = openRunFolder(directory, fresh);
  for (let step = 0; step < steps; step++) run.record(recordOf(step));
  return { directory, run };
}

test("a step is a line of metrics, a line of timing and a file of attempts", () => {
  const { directory, run } = filled(1);
  expect(run.metrics()).toEqual([{ step: 0, stage: "a", "reward/total": 0 }]);
  expect(JSON.parse(readFileSync(join(directory, "timing.jsonl"), "utf8"))).toEqual({ step: 0, stage: "a", sample: 1 });
  const zipped = readFileSync(join(directory, "trajectories", "step-000000.jsonl.gz"));
  expect([...zipped.subarray(4, 8), zipped[9]]).toEqual([0, 0, 0, 0, 255]);
  const line = JSON.parse(gunzipSync(zipped).toString());
  expect(line).toMatchObject({
    question: { id: "q", text: "Where was Dekgun born?", gold: ["Poktun"] },
    tokens: [1, 2, 0, 1, 9, 9, 0, 1],
    runs: [
      ["prompt", 2],
      ["policy", 2],
      ["search", 2],
      ["policy", 2],
    ],
    stop: "answered",
    advantage: 0.5,
  });
  expect(line.logprobs.map(Math.fround)).toEqual(Array(4).fill(Math.fround(-0.123456789)));
  expect(line.policyVersion).toBeUndefined(); // counts publications of one process: differs after a resume
});

test("resuming drops what lies behind the checkpoint and keeps the rest byte for byte", () => {
  const { directory, run } = filled(5);
  run.close();
  const before = readFileSync(join(directory, "metrics.jsonl"), "utf8").split("\n");
  const resumed = openRunFolder(directory, again);
  expect(resumed.resumed).toBe(true);
  resumed.rewind(3);
  expect(readFileSync(join(directory, "metrics.jsonl"), "utf8")).toBe(`${before.slice(0, 3).join("\n")}\n`);
  expect(readFileSync(join(directory, "timing.jsonl"), "utf8").split("\n").length).toBe(4);
  expect(readdirSync(join(directory, "trajectories"))).toEqual([
    "step-000000.jsonl.gz",
    "step-000001.jsonl.gz",
    "step-000002.jsonl.gz",
  ]);
});

test("a metrics file cut anywhere in its last line is read without that line, and made whole on resume", () => {
  const { directory, run } = filled(3);
  const file = join(directory, "metrics.jsonl");
  const whole = readFileSync(file);
  const lastStart = whole.lastIndexOf("\n", whole.length - 2) + 1;
  for (let length = lastStart; length < whole.length; length++) {
    writeFileSync(file, whole.subarray(0, length));
    expect(run.metrics().map(({ step }) => step)).toEqual([0, 1]);
    run.rewind(2);
    run.record(recordOf(2));
    expect(readFileSync(file)).toEqual(whole);
  }
});

test.each<[string, (lines: string[]) => string[]]>([
  ["missing", (lines) => lines.toSpliced(1, 1)],
  ["doubled", (lines) => lines.toSpliced(1, 0, lines[1]!)],
  ["torn at the end", (lines) => lines.slice(0, -1)],
  ["without a number", (lines) => lines.with(1, '{"step":"one"}')],
])("resume names a step that is %s in metrics.jsonl or timing.jsonl", (_, change) => {
  for (const name of ["metrics.jsonl", "timing.jsonl"]) {
    const { directory, run } = filled(3);
    const file = join(directory, name);
    const changed = `${change(readFileSync(file, "utf8").trim().split("\n")).join("\n")}\n`;
    writeFileSync(file, changed);
    expect(() => run.rewind(3)).toThrow(CheckpointError);
    expect(() => run.rewind(3)).toThrow(
      new RegExp(`${name} lacks the record of step [12], before checkpoint step-000003`),
    );
    expect(readFileSync(file, "utf8")).toBe(changed);
    run.close();
  }
});

test("a lock that names process 0 or -1 is nobody's", () => {
  const { directory, run } = filled(1);
  run.close();
  for (const pid of [0, -1]) {
    writeFileSync(join(directory, "run.lock"), JSON.stringify({ pid, host: hostname(), started: "" }));
    openRunFolder(directory, again).close();
  }
});

test("damage before the last line is an error that names it", () => {
  const { directory, run } = filled(2);
  const file = join(directory, "metrics.jsonl");
  writeFileSync(file, `{"step":0\n${readFileSync(file, "utf8")}`);
  expect(() => run.rewind(1)).toThrow(CheckpointError);
  expect(() => run.rewind(1)).toThrow(/metrics\.jsonl:1 is damaged/);
});

test("a run that exists is neither overwritten nor resumed with another recipe, and the folder stays as it was", () => {
  const { directory, run } = filled(1);
  run.close();
  const before = readdirSync(directory).sort();
  expect(() => openRunFolder(directory, fresh)).toThrow(/holds a run already/);
  const changed = { ...recipe, optimizer: { learningRate: 0.2 }, seed: 1 };
  expect(() => openRunFolder(directory, { recipe: changed, resume: true })).toThrow(ConfigError);
  expect(() => openRunFolder(directory, { recipe: changed, resume: true })).toThrow(
    /optimizer\.learningRate: 0\.1 → 0\.2; seed: absent → 1/,
  );
  expect(readdirSync(directory).sort()).toEqual(before);
  openRunFolder(directory, again).close();
});

test("a folder of something else is left alone; an empty one is started even with resume", () => {
  const foreign = newFolder();
  writeFileSync(join(foreign, "thesis.tex"), "");
  for (const options of [fresh, again])
    expect(() => openRunFolder(foreign, options)).toThrow(/not empty and holds no run/);
  expect(readdirSync(foreign)).toEqual(["thesis.tex"]);
  const run = openRunFolder(newFolder(), again);
  expect(run.resumed).toBe(false);
  run.close();
});

test("a place that cannot be written is a configuration error before anything starts", () => {
  const file = join(newFolder(), "file");
  writeFileSync(file, "");
  expect(() => openRunFolder(join(file, "run"), fresh)).toThrow(ConfigError);
  expect(() => openRunFolder(join(file, "run"), fresh)).toThrow(/cannot be written: .*(ENOTDIR|EEXIST)/);
});

test("an evaluation whose name leads out of the run folder is not written", () => {
  const { directory, run } = filled(1);
  const evaluation = { step: 0, scope: "full", summary: {} as never, example: undefined } as const;
  expect(() => run.saveEvaluation("../../twice--full-greedy", evaluation, [])).toThrow(/cannot be kept as/);
  expect(existsSync(join(directory, "..", "twice--full-greedy"))).toBe(false);
});

test.each(["{", "null", "{}", '{"step":"one"}'])("a damaged summary.json (%s) is named on resume", (text) => {
  const { directory, run } = filled(1);
  mkdirSync(join(directory, "evals", "base--full-greedy"));
  writeFileSync(join(directory, "evals", "base--full-greedy", "summary.json"), text);
  expect(() => run.rewind(1)).toThrow(CheckpointError);
  expect(() => run.rewind(1)).toThrow(/base--full-greedy.summary\.json is damaged/);
});

test("metrics that are not numbers are refused instead of becoming null", () => {
  const { run } = filled(0);
  expect(() => run.record({ ...recordOf(0), metrics: { "optim/loss": Number.NaN } })).toThrow(/optim\/loss/);
});

test("differences are listed by key", () => {
  expect(recipeDifferences({ a: [1, { b: 2 }], c: {} }, { a: [1, { b: 3 }], d: "x" })).toEqual([
    "a.1.b: 2 → 3",
    "c: {} → absent",
    'd: absent → "x"',
  ]);
  expect(recipeDifferences(recipe, structuredClone(recipe))).toEqual([]);
});

test("a folder in use is refused, by this process or another; a dead holder's lock is taken over", async () => {
  const { directory, run } = filled(0);
  expect(() => openRunFolder(directory, again)).toThrow(`in use by process ${process.pid}`);
  run.close();
  const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  const lock = join(directory, "run.lock");
  const held = { pid: other.pid, host: hostname(), started: "" };
  writeFileSync(lock, JSON.stringify(held));
  expect(() => openRunFolder(directory, again)).toThrow(`in use by process ${other.pid}`);
  other.kill("SIGKILL");
  await once(other, "exit");
  openRunFolder(directory, again).close();
  expect(existsSync(lock)).toBe(false);
  writeFileSync(lock, JSON.stringify({ ...held, host: "elsewhere" }));
  expect(() => openRunFolder(directory, again)).toThrow(/on elsewhere/);
  writeFileSync(lock, ""); // torn by a crash
  openRunFolder(directory, again).close();
});

test.runIf(process.platform === "linux")("a lock whose pid now belongs to a younger process is stale", () => {
  const { directory, run } = filled(0);
  run.close();
  writeFileSync(join(directory, "run.lock"), JSON.stringify({ pid: process.pid, host: hostname(), started: "1" }));
  openRunFolder(directory, again).close();
});

test("a new run that saved nothing leaves nothing, one that did stays", () => {
  const parent = newFolder();
  const directory = join(parent, "a", "run");
  openRunFolder(directory, fresh).close();
  expect(readdirSync(parent)).toEqual([]);
  const run = openRunFolder(directory, fresh);
  run.record(recordOf(0));
  run.close();
  expect(readdirSync(directory).sort()).toEqual([
    "checkpoints",
    "evals",
    "metrics.jsonl",
    "recipe.yaml",
    "timing.jsonl",
    "trajectories",
  ]);
  openRunFolder(directory, again).close();
  expect(existsSync(join(directory, "recipe.yaml"))).toBe(true);
});

test("a folder that was there and empty stays there and empty", () => {
  const directory = newFolder();
  openRunFolder(directory, fresh).close();
  expect(readdirSync(directory)).toEqual([]);
});

test("what a killed process was about to put in place is removed on resume", () => {
  const { directory, run } = filled(1);
  run.close();
  mkdirSync(join(directory, "evals", "base--full-greedy"), { recursive: true });
  const leftovers = [
    "metrics.jsonl.tmp-99999999",
    "run.lock.draft-99999999",
    "trajectories/step-000001.jsonl.gz.tmp-99999999",
    "evals/base--full-greedy/summary.json.tmp-99999999",
  ];
  for (const path of leftovers) writeFileSync(join(directory, path), "");
  openRunFolder(directory, again);
  expect(leftovers.filter((path) => existsSync(join(directory, path)))).toEqual([]);
});
