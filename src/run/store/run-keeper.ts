import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../../base/errors.ts";
import type { Learner } from "../../engine/engine.ts";
import { type Cursor, firstCursor, type Keeper } from "../../rl/parts.ts";
import { CheckpointStore, type checkpointFiles } from "./checkpoint-store.ts";
import { onDisk } from "./on-disk.ts";
import type { RunFolder } from "./run-folder.ts";
import { openEventLog } from "./tensorboard.ts";

const CursorSchema = z.strictObject({
  step: z.int().min(0),
  refused: z.int().min(0),
  rollbacks: z.int().min(0),
  trouble: z.int(),
  best: z.strictObject({ step: z.int().min(0), score: z.number() }).optional(),
});

export interface KeeperOptions {
  readonly folder: RunFolder;
  readonly learner: Learner;
  /** Checkpoints kept besides stage ends and the best. */
  readonly keep: number;
  readonly warn: (message: string) => void;
  /** Writes the model card of the policy after `step` steps. */
  readonly describe?: (directory: string, step: number) => void;
  readonly files?: typeof checkpointFiles;
}

export interface RunKeeper extends Keeper {
  /**
   * Restores the learner from the newest valid checkpoint and drops later records. Without a checkpoint the learner
   * stays as it was opened.
   */
  resume(): Promise<{ readonly cursor: Cursor; readonly saved: boolean }>;
}

/** Keeps a run in its folder. */
export function runKeeper({ folder, learner, keep, warn, describe, files }: KeeperOptions): RunKeeper {
  const forget = learner.forget && ((reference: string) => learner.forget!(reference));
  const store = new CheckpointStore({ directory: folder.checkpoints, keep, warn, forget, ...(files ? { files } : {}) });
  const events = openEventLog({
    directory: join(folder.directory, "tensorboard"),
    texts: { recipe: readFileSync(join(folder.directory, "recipe.yaml"), "utf8") },
  });
  const restore = async (): Promise<Cursor | undefined> => {
    const found = await store.newest();
    const cursor = found ? cursorOf(found) : undefined;
    if (found) await learner.load(found.directory);
    folder.rewind(cursor?.step ?? 0);
    events.restart(cursor?.step ?? 0);
    return cursor;
  };
  return {
    record: async (record) => {
      const { sample } = record.timing;
      const tokens = record.metrics["policy/tokens"];
      const rate = sample && tokens !== undefined ? { tokens_per_second: tokens / sample } : {};
      const timing = { ...record.timing, ...rate, rss_bytes: process.memoryUsage.rss() };
      folder.record({ ...record, timing });
      const timed = Object.entries(timing).map(([name, value]) => [`timing/${name}`, value]);
      onDisk(`the events of step ${record.step} in ${folder.directory}`, "written", () =>
        events.record(record.step, { ...record.metrics, ...Object.fromEntries(timed) }),
      );
    },
    save: (cursor, pinned) =>
      store.save({
        ...{ step: cursor.step, cursor, pinned },
        write: async (directory) => {
          await learner.save(directory);
          describe?.(directory, cursor.step);
        },
      }),
    rollBack: async () => {
      const cursor = await restore();
      if (cursor) return cursor;
      throw new CheckpointError(`there is no checkpoint in ${folder.checkpoints} to go back to`);
    },
    resume: async () => {
      await store.tidy();
      const cursor = await restore();
      return { cursor: cursor ?? firstCursor, saved: cursor !== undefined };
    },
  };
}

function cursorOf({ directory, step, cursor }: { directory: string; step: number; cursor: unknown }): Cursor {
  const parsed = CursorSchema.safeParse(cursor);
  if (!parsed.success || parsed.data.step !== step) {
    throw new CheckpointError(`${directory}/cursor.json is not one of this program's`, {
      hint: "it was written by another version",
    });
  }
  const { best, ...rest } = parsed.data;
  return best ? { ...rest, best } : rest;
}
