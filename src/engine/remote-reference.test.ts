import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { EngineError } from "../base/errors.ts";
import { readRemoteReference, remoteFile, writeRemoteReference } from "./remote-reference.ts";

const folder = mkdtempSync(join(tmpdir(), "reference-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ["../../etc", "weights-1"],
  ["far", "../../other-user/weights"],
  ["far", "tinker://run/./weights"],
  ["far", "weights\u001b[2J"],
  ["far", "weights 1\nx"],
  ["far", "w".repeat(1001)],
  ["", "weights-1"],
])("the engine %j with the reference %j is neither written nor read", (engine, reference) => {
  expect(() => writeRemoteReference(folder, { engine, reference })).toThrow(EngineError);
  expect(readdirSync(folder)).toEqual([]);
  const file = join(folder, remoteFile);
  writeFileSync(file, JSON.stringify({ engine, reference }));
  expect(() => readRemoteReference(folder)).toThrow(/remote\.json is no reference to a policy/);
  rmSync(file);
});

test("a reference that looks like an address comes back as it was", () => {
  const reference = { engine: "far", reference: "far://3f1c/sampler_weights/000010" };
  writeRemoteReference(folder, reference);
  expect(readRemoteReference(folder)).toEqual(reference);
});
