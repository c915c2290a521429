import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { CheckpointStore, checkpointName } from "../../../src/run/store/checkpoint-store.ts";
import { type Pair, tryDamage } from "./damage.ts";

const root = mkdtempSync(join(tmpdir(), "damage-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function somePair(): Promise<Pair> {
  const directory = join(root, "whole");
  const store = new CheckpointStore({ directory, warn: () => {} });
  const names = ["config.json", "model.safetensors", "optimizer-0.safetensors", "tokenizer.json"];
  const write = (step: number) => async (into: string) => {
    for (const [i, name] of names.entries())
      writeFileSync(join(into, name), `${name} `.repeat(i === 0 ? 1 : 40 * step + i));
  };
  for (const step of [2, 4]) await store.save({ step, cursor: { step }, pinned: [2], write: write(step) });
  const at = (step: number) => join(directory, checkpointName(step));
  return { older: at(2), newer: at(4), steps: [2, 4] };
}

test("of 250 damaged checkpoints none is loaded in silence, and each names its damage", async () => {
  const { named, harmless, kinds } = await tryDamage(await somePair(), {
    folder: join(root, "run"),
    count: 250,
    seed: 1,
  });
  expect(named + harmless).toBe(250);
  expect(harmless).toBeGreaterThanOrEqual(2 * Math.floor(250 / kinds)); // spaces and the order of keys
  expect(named).toBeGreaterThan(200);
});
