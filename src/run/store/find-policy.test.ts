import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { ConfigError, EngineError } from "../../base/errors.ts";
import { remoteFile, writeRemoteReference } from "../../engine/remote-reference.ts";
import { bundled } from "../engines/open-policy.ts";
import { CheckpointStore } from "./checkpoint-store.ts";
import { findLocalPolicy, findPolicy } from "./find-policy.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "find-policy-"));
  folders.push(folder);
  return folder;
}

const remote = { engine: "far", reference: "weights-7" };

function remotePolicy(): string {
  const folder = newFolder();
  writeRemoteReference(folder, remote);
  return folder;
}

test("a folder with a remote reference is a remote place, with the engine and the name of the weights", async () => {
  const folder = remotePolicy();
  expect(await findPolicy(folder)).toEqual({ kind: "remote", directory: folder, ...remote });
});

test("of a run, the newest checkpoint is taken, and it may be a remote reference", async () => {
  const run = newFolder();
  const store = new CheckpointStore({ directory: join(run, "checkpoints"), warn: () => {} });
  for (const step of [0, 1]) {
    await store.save({
      ...{ step, cursor: { step }, pinned: [] },
      write: async (folder) => writeRemoteReference(folder, { engine: "far", reference: `weights-${step}` }),
    });
  }
  const directory = join(run, "checkpoints", "step-000001");
  expect(await findPolicy(run)).toEqual({ kind: "remote", directory, engine: "far", reference: "weights-1" });
});

test("work that reads weights refuses a remote place, and names folder, reference and engine", async () => {
  const folder = remotePolicy();
  const error = await findLocalPolicy(folder).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(ConfigError);
  for (const part of [folder, remote.reference, remote.engine]) expect((error as ConfigError).message).toContain(part);
  expect((error as ConfigError).hint).toBeTruthy();
});

test("a remote place takes no adapter", async () => {
  await expect(findPolicy(remotePolicy(), { adapter: bundled("nano") })).rejects.toThrow(/takes no --adapter/);
});

test("a remote reference that cannot be read is an error, not a folder without a policy", async () => {
  const folder = newFolder();
  writeFileSync(join(folder, remoteFile), '{"engine":"far"}');
  await expect(findPolicy(folder)).rejects.toThrow(EngineError);
});

test("a model folder is a local place; an empty folder is neither", async () => {
  expect(await findPolicy(bundled("nano"))).toEqual({ kind: "local", directory: bundled("nano") });
  const empty = join(newFolder(), "empty");
  mkdirSync(empty);
  await expect(findPolicy(empty)).rejects.toThrow(ConfigError);
});
