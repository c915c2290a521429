import type { Cursor, Keeper, StepRecord } from "../parts.ts";
import type { TinyLearner } from "./tiny-run.ts";

/** Keeps records and learner states in memory. */
export function memoryKeeper(learner: TinyLearner) {
  const records: StepRecord[] = [];
  const saves: { cursor: Cursor; pinned: readonly number[]; state: [Float64Array, Float64Array, number] }[] = [];
  const keeper: Keeper = {
    record: async (record) => void records.push(record),
    save: async (cursor, pinned) => {
      saves.push({ cursor, pinned, state: [learner.logits.slice(), learner.momentum.slice(), learner.updates] });
    },
    rollBack: async () => {
      const { cursor, state } = saves.at(-1)!;
      [learner.logits, learner.momentum, learner.updates] = [state[0].slice(), state[1].slice(), state[2]];
      records.length = records.findIndex(({ step }) => step >= cursor.step);
      return cursor;
    },
  };
  return { keeper, records, saves };
}
