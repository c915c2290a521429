import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { CheckpointError } from "../../base/errors.ts";
import { config, TinyLearner, tinyParts } from "../../rl/testing/tiny-run.ts";
import { train } from "../../rl/training-loop.ts";
import { checkpointFiles } from "./checkpoint-store.ts";
import { openRunFolder } from "./run-folder.ts";
import { runKeeper } from "./run-keeper.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "keeper-"));
  folders.push(folder);
  return folder;
}

/** Trains until the end, or until the process "dies" at the n-th touch of the disk or the n-th call of a part. */
async function runOnce(directory: string, dieAt = Number.POSITIVE_INFINITY, broken?: (update: number) => boolean) {
  let touches = 0;
  const touch = () => {
    if (++touches >= dieAt) throw new Error("power cut");
  };
  const guard =
    <A extends unknown[], R>(work: (...args: A) => R) =>
    (...args: A): R => {
      touch();
      return work(...args);
    };
  const { makeDirectory, write, flush, hash, rename, flushDirectory, remove } = checkpointFiles;
  const files = {
    makeDirectory: guard(makeDirectory),
    write: guard(write),
    flush: guard(flush),
    hash: guard(hash),
    rename: guard(rename),
    flushDirectory: guard(flushDirectory),
    remove: guard(remove),
  };
  const folder = openRunFolder(directory, { recipe: { name: "tiny" }, resume: true });
  const learner = new TinyLearner();
  if (broken) learner.broken = broken;
  const keeper = runKeeper({ folder, learner, keep: 2, warn: () => {}, files });
  try {
    const { cursor, saved } = await keeper.resume();
    const parts = tinyParts(learner, { keeper, config: config({ checkpointEvery: 4 }) });
    await train({ ...parts, rollOut: guard(parts.rollOut), score: guard(parts.score) }, cursor, saved);
    return touches;
  } finally {
    folder.close();
  }
}

/** All that two identical runs have in common: not seconds, nor events, which hold the time of day. */
function contentOf(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.endsWith("timing.jsonl") && !path.includes("tfevents"));
  return Object.fromEntries(
    paths.sort().map((path) => [path.slice(directory.length), readFileSync(path).toString("base64")]),
  );
}

test("a run that died ten times ends with the same bytes as one that did not", async () => {
  const whole = newFolder();
  const touches = await runOnce(whole);
  expect(touches).toBeGreaterThan(200);
  for (const seed of [1, 2, 3]) {
    const directory = newFolder();
    for (let death = 0; death < 10; death++) {
      await runOnce(directory, 3 + ((seed * 131 + death * 61) % 90)).catch(() => {});
    }
    await runOnce(directory);
    expect(contentOf(directory)).toEqual(contentOf(whole));
  }
});

test("what is kept at the end: stage ends, the best, the last two", async () => {
  const directory = newFolder();
  await runOnce(directory);
  expect(readdirSync(join(directory, "checkpoints"))).toEqual(["step-000004", "step-000009", "step-000010"]);
  expect(readdirSync(join(directory, "trajectories")).length).toBe(10);
  expect(readFileSync(join(directory, "metrics.jsonl"), "utf8").trim().split("\n").length).toBe(11);
});

test("a run that went back to a checkpoint leaves no trace of what it did before in its records", async () => {
  const directory = newFolder();
  await runOnce(directory, undefined, (update) => update >= 7 && update <= 9);
  const steps = readFileSync(join(directory, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).step);
  expect(steps).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test("every process that recorded a step leaves an event file with the metrics, the timing and the recipe", async () => {
  const directory = newFolder();
  await runOnce(directory, 150).catch(() => {});
  await runOnce(directory);
  const files = readdirSync(join(directory, "tensorboard"));
  expect(files.length).toBe(2);
  const events = files.map((name) => readFileSync(join(directory, "tensorboard", name), "latin1"));
  for (const text of events) for (const tag of ["reward/total", "timing/rss_bytes"]) expect(text).toContain(tag);
  expect(events.map((text) => text.includes("name: tiny"))).toEqual([true, false]); // the second began after step 0
});

test("a save that fails is loud, and the run can go on once there is space", async () => {
  const directory = newFolder();
  const folder = openRunFolder(directory, { recipe: {}, resume: false });
  const learner = new TinyLearner();
  const write = (): never => {
    throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  };
  const full = runKeeper({ folder, learner, keep: 2, warn: () => {}, files: { ...checkpointFiles, write } });
  await expect(train(tinyParts(learner, { keeper: full }))).rejects.toThrow(CheckpointError);
  folder.close();
  const reopened = openRunFolder(directory, { recipe: {}, resume: true });
  const keeper = runKeeper({ folder: reopened, learner, keep: 2, warn: () => {} });
  const { cursor, saved } = await keeper.resume();
  expect((await train(tinyParts(learner, { keeper }), cursor, saved)).step).toBe(10);
  reopened.close();
});
