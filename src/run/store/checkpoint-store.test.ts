import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { CheckpointError, EngineError } from "../../base/errors.ts";
import { readRemoteReference, writeRemoteReference } from "../../engine/remote-reference.ts";
import { CheckpointStore, checkpointFiles } from "./checkpoint-store.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "checkpoints-"));
  folders.push(folder);
  return folder;
}

function newStore(directory = newFolder(), files = checkpointFiles) {
  const warnings: string[] = [];
  return { directory, warnings, store: new CheckpointStore({ directory, files, warn: (text) => warnings.push(text) }) };
}

const write = (content: string) => async (directory: string) => {
  mkdirSync(join(directory, "inner"));
  writeFileSync(join(directory, "weights.bin"), content);
  writeFileSync(join(directory, "inner", "optimizer.bin"), `${content}!`);
};

const save = (store: CheckpointStore, step: number, pinned: readonly number[] = []) =>
  store.save({ step, cursor: { step }, pinned, write: write(`weights ${step}`) });

/** Throws at the n-th touch of the disk, and at every later one where the machine is gone. */
function failingFiles(at: number, isGone: boolean) {
  let touches = 0;
  const guard =
    <A extends unknown[], R>(work: (...args: A) => R) =>
    (...args: A): R => {
      touches++;
      if (touches === at || (isGone && touches > at))
        throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
      return work(...args);
    };
  const { makeDirectory, write, flush, hash, rename, flushDirectory, remove } = checkpointFiles;
  return {
    files: {
      makeDirectory: guard(makeDirectory),
      write: guard(write),
      flush: guard(flush),
      hash: guard(hash),
      rename: guard(rename),
      flushDirectory: guard(flushDirectory),
      remove: guard(remove),
    },
    touches: () => touches,
  };
}

test("the newest one that is whole is loaded, with its cursor", async () => {
  const { store, directory, warnings } = newStore();
  expect(await store.newest()).toBeUndefined();
  for (const step of [0, 10]) await save(store, step);
  expect(await store.newest()).toMatchObject({
    directory: join(directory, "step-000010"),
    step: 10,
    cursor: { step: 10 },
  });
  expect(readFileSync(join(directory, "step-000010", "inner", "optimizer.bin"), "utf8")).toBe("weights 10!");
  expect(warnings).toEqual([]);
});

test("the last two stay, and those that are pinned", async () => {
  const { store } = newStore();
  for (let step = 0; step <= 60; step += 10) await save(store, step, [20, 30]);
  expect(store.steps()).toEqual([20, 30, 50, 60]);
});

test.each([false, true])(
  "wherever a save fails, the older checkpoint is intact and the new one whole or absent (machine gone: %s)",
  async (isGone) => {
    const counted = failingFiles(Number.POSITIVE_INFINITY, false);
    const { store: first } = newStore(newFolder(), counted.files);
    await save(first, 10);
    const points = counted.touches();
    expect(points).toBeGreaterThan(12);
    for (let at = 1; at <= points; at++) {
      const directory = newFolder();
      await save(newStore(directory).store, 0);
      const outcome = await save(newStore(directory, failingFiles(at, isGone).files).store, 10).catch((error) => error);
      const { store, warnings } = newStore(directory);
      const found = await store.newest();
      expect(warnings).toEqual([]);
      if (outcome instanceof Error) {
        expect(outcome).toBeInstanceOf(CheckpointError);
        expect(outcome.message).toMatch(/step-000010 could not be saved.*ENOSPC/);
        expect((outcome as CheckpointError).hint).toMatch(/free space on the disk/);
      } else expect(found!.step).toBe(10);
      expect([0, 10]).toContain(found!.step);
      expect(readFileSync(join(found!.directory, "weights.bin"), "utf8")).toBe(`weights ${found!.step}`);
      await store.tidy();
      await save(store, 10);
      expect((await store.newest())!.step).toBe(10);
      expect(readdirSync(directory).every((entry) => /^step-/.test(entry))).toBe(true);
    }
  },
);

test("wherever the replacing of a damaged checkpoint fails, the older one is still found", async () => {
  for (let at = 1; at <= 24; at++) {
    const directory = newFolder();
    for (const step of [0, 10]) await save(newStore(directory).store, step);
    writeFileSync(join(directory, "step-000010", "weights.bin"), "damage 10");
    await save(newStore(directory, failingFiles(at, true).files).store, 10).catch(() => {});
    const found = await newStore(directory).store.newest();
    expect([0, 10]).toContain(found!.step);
    expect(readFileSync(join(found!.directory, "weights.bin"), "utf8")).toBe(`weights ${found!.step}`);
  }
});

const edit = (from: string, to: string) => (path: string) =>
  writeFileSync(path, readFileSync(path, "utf8").replace(from, to));

test.each([
  ["weights.bin", (path: string) => writeFileSync(path, "weights 11"), /weights\.bin has other content/],
  ["weights.bin", (path: string) => writeFileSync(path, "weights"), /weights\.bin has 7 bytes instead of 10/],
  ["inner/optimizer.bin", (path: string) => rmSync(path), /ENOENT.*optimizer\.bin/],
  ["manifest.json", (path: string) => rmSync(path), /ENOENT.*manifest\.json/],
  ["manifest.json", (path: string) => writeFileSync(path, "{"), /JSON/],
  ["manifest.json", edit('"step": 10', '"step": 12'), /manifest\.json has other content/],
  ["manifest.json", edit('"pinned": []', '"pinned": [7]'), /manifest\.json has other content/],
  ["manifest.json", edit('"pinned": []', '"pinned": 7'), /manifest\.json is damaged at "pinned": .*array/],
  ["manifest.json", edit("checkpoint-2", "checkpoint-1"), /manifest\.json .*"format": .*made by another version/],
  [
    "",
    (path: string) => cpSync(join(path, "..", "step-000000"), path, { recursive: true }),
    /manifest\.json is of step 0/,
  ],
  ["cursor.json", (path: string) => writeFileSync(path, '{"step":9}'), /cursor\.json has/],
  ["stranger.bin", (path: string) => writeFileSync(path, ""), /stranger\.bin is not in its manifest/],
  [
    "weights.bin",
    (path: string) => {
      rmSync(path);
      mkdirSync(path);
    },
    /weights\.bin is not a file/,
  ],
])("damage to %s is named and the one before is taken", async (name, damage, fault) => {
  const { store, directory, warnings } = newStore();
  for (const step of [0, 10]) await save(store, step);
  damage(join(directory, "step-000010", name));
  expect((await store.newest())!.step).toBe(0);
  expect(warnings).toEqual([expect.stringMatching(fault)]);
  expect(warnings[0]).toContain("step-000010");
});

test("where no checkpoint is whole, the run does not start from nothing in silence", async () => {
  const { store, directory } = newStore();
  await save(store, 0);
  writeFileSync(join(directory, "step-000000", "weights.bin"), "");
  await expect(store.newest()).rejects.toThrow(CheckpointError);
});

test("an error of the engine passes as it is, and nothing is left of the attempt", async () => {
  const { store, directory } = newStore();
  const broken = () => Promise.reject(new EngineError("weights are not finite"));
  await expect(store.save({ step: 1, cursor: {}, pinned: [], write: broken })).rejects.toThrow(EngineError);
  expect(readdirSync(directory)).toEqual([]);
});

test("what a crash left half-made is removed", async () => {
  const { store, directory } = newStore();
  for (const entry of [".tmp-step-000010", ".replaced-step-000010", "step-000000"])
    mkdirSync(join(directory, entry, "inner"), { recursive: true });
  await store.tidy();
  expect(readdirSync(directory)).toEqual(["step-000000"]);
});

test("a remote reference is forgotten with its checkpoint, and one that cannot be is named", async () => {
  const directory = newFolder();
  const warnings: string[] = [];
  const forgotten: string[] = [];
  const store = new CheckpointStore({
    directory,
    warn: (text) => warnings.push(text),
    forget: async (reference) => {
      if (reference === "weights-10") throw new EngineError("the server is away");
      forgotten.push(reference);
    },
  });
  const remote = (step: number) => async (folder: string) =>
    writeRemoteReference(folder, { engine: "far", reference: `weights-${step}` });
  for (const step of [0, 10, 20, 30]) await store.save({ step, cursor: { step }, pinned: [], write: remote(step) });
  expect(store.steps()).toEqual([20, 30]);
  expect(forgotten).toEqual(["weights-0"]);
  expect(warnings).toEqual([expect.stringMatching(/weights-10, which .*step-000010 .*the server is away/)]);
  expect(readRemoteReference((await store.newest())!.directory)?.reference).toBe("weights-30");
});
