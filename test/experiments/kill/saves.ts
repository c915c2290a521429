/** @file Two checkpoints of the tiny policy that differ in every number, and saves of the second over the first. */
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readModelConfig } from "../../../src/engine/huggingface/model-config.ts";
import type { OnnxEngine } from "../../../src/engine/onnx/engine.ts";
import { adam } from "../../../src/engine/testing/subject.ts";
import { openPolicy } from "../../../src/run/engines/onnx-policy.ts";
import { PolicySettings } from "../../../src/run/recipe/policy-settings.ts";
import { CheckpointStore, checkpointName, newestCheckpoint } from "../../../src/run/store/checkpoint-store.ts";
import { compareFolders } from "../../support/same-files.ts";
import { demand } from "./part.ts";

/** Of the two checkpoints. */
export const [OLD, NEW] = [1, 2] as const;

export interface Saves {
  readonly engine: OnnxEngine;
  /** What step 1 and step 2 hold, whole. */
  readonly expected: Readonly<Record<number, string>>;
  /** A folder of checkpoints with step 1 alone, as at the beginning of every save that is tried. */
  begin(name: string): string;
  close(): Promise<void>;
}

/** Only the newest one is kept, so that a save ends with a removal. */
export function storeIn(directory: string, warn: (message: string) => void = () => {}): CheckpointStore {
  return new CheckpointStore({ directory, keep: 1, warn });
}

export function saveOf(step: number, engine: { save(directory: string): Promise<void> }) {
  return { step, cursor: { step }, pinned: [], write: (directory: string) => engine.save(directory) };
}

export async function openEngine(policy: string): Promise<OnnxEngine> {
  const how = { workers: 1, threads: 1, training: true, maxSequences: 2, contextLength: 64 };
  return (await openPolicy(policy, { ...how, settings: PolicySettings.parse({}) })).engine;
}

/** @param policy where it starts */
export async function openSaves(folder: string, policy: string): Promise<Saves> {
  const engine = await openEngine(policy);
  const { vocabSize } = readModelConfig(policy);
  const tokens = Int32Array.from({ length: 12 }, (_, t) => (17 * t) % vocabSize);
  const [weights, unused] = [new Float32Array(12).fill(1, 1), new Float32Array(12)];
  const sequence = { tokens, weights, advantages: unused, oldLogprobs: unused };
  const expected: Record<number, string> = {};
  for (const step of [OLD, NEW]) {
    await engine.forwardBackward([sequence], { kind: "cross-entropy" });
    demand((await engine.optimStep(adam)).applied, "the tiny policy does not learn");
    const directory = join(folder, `expected-${step}`);
    await storeIn(directory).save(saveOf(step, engine));
    expected[step] = join(directory, checkpointName(step));
  }
  return {
    engine,
    expected,
    begin: (name) => {
      const directory = join(folder, name);
      mkdirSync(directory, { recursive: true });
      cpSync(expected[OLD]!, join(directory, checkpointName(OLD)), { recursive: true });
      return directory;
    },
    close: () => engine.close(),
  };
}

/**
 * The newest checkpoint is one of the two, in every byte, and nothing is reported as damaged.
 * @returns its step
 */
export async function demandWhole(directory: string, { expected }: Saves, what: string): Promise<number> {
  const damage: string[] = [];
  const found = await newestCheckpoint(directory, (text) => damage.push(text)).catch((error: Error) => error);
  demand(!(found instanceof Error), `${what}: ${String(found)}`);
  demand(found, `${what}: no checkpoint is left`);
  demand(damage.length === 0, `${what}: ${damage[0]}`);
  const { difference } = compareFolders(expected[found.step] ?? "nothing", found.directory, () => true);
  demand(difference === undefined, `${what}: step ${found.step} was loaded, but ${difference}`);
  return found.step;
}

/** Whatever lies there, the next process saves step 2 and leaves nothing else. */
export async function demandGoesOn(directory: string, saves: Saves, what: string): Promise<void> {
  const store = storeIn(directory);
  store.tidy();
  await store.newest();
  const from = saves.expected[NEW]!;
  const copy = async (into: string) => {
    for (const name of readdirSync(from)) {
      if (name !== "manifest.json" && name !== "cursor.json") cpSync(join(from, name), join(into, name));
    }
  };
  await store.save({ ...saveOf(NEW, saves.engine), write: copy });
  demand((await demandWhole(directory, saves, what)) === NEW, `${what}: the save after it is not the newest`);
  const left = readdirSync(directory);
  demand(left.join() === checkpointName(NEW), `${what}: ${left.join(", ")} are left after the next save`);
}
