/** @file Every call of a save that changes the disk refused in turn, once or from then on, by each error; writes cut short. */
import { rmSync } from "node:fs";
import { CheckpointError } from "../../../src/base/errors.ts";
import { type DiskCall, type DiskTap, refusal, tapDisk } from "./faulty-disk.ts";
import { type Context, demand, type Part } from "./part.ts";
import { demandGoesOn, demandWhole, NEW, OLD, openSaves, type Saves, saveOf, storeIn } from "./saves.ts";

const errors = ["ENOSPC", "EIO", "EACCES"] as const;

interface Fault {
  readonly name: string;
  readonly tap: NonNullable<DiskTap["before"]>;
  /** What the save must then say. */
  readonly code?: string;
}

function faultsAt({ nth, name }: DiskCall): Fault[] {
  const refusals = errors.flatMap((code) =>
    [false, true].map((forever): Fault => {
      const hits = (call: DiskCall) => (forever ? call.nth >= nth : call.nth === nth);
      const tap = (call: DiskCall) => {
        if (hits(call)) throw refusal(code, call);
        return undefined;
      };
      return { name: `${code} ${forever ? "from" : "at"} ${name} ${nth}`, tap, code };
    }),
  );
  if (name !== "write") return refusals;
  const tear = (call: DiskCall) => {
    if (call.nth > nth) throw refusal("ENOSPC", call);
    return call.nth === nth ? 7 : undefined;
  };
  const short = (call: DiskCall) => (call.nth === nth ? 1 : undefined);
  return [
    ...refusals,
    { name: `a full disk 7 bytes into write ${nth}`, tap: tear, code: "ENOSPC" },
    { name: `1 byte taken by write ${nth}`, tap: short },
  ];
}

async function callsOf(saves: Saves): Promise<DiskCall[]> {
  const calls: DiskCall[] = [];
  const directory = saves.begin("counted");
  const untap = tapDisk({ after: (call) => void calls.push(call) });
  try {
    await storeIn(directory).save(saveOf(NEW, saves.engine));
  } finally {
    untap();
  }
  demand((await demandWhole(directory, saves, "without a fault")) === NEW, "a save without a fault saves nothing");
  return calls;
}

/** @returns whether the save said that it failed */
async function tryFault({ name, tap, code }: Fault, saves: Saves): Promise<boolean> {
  const directory = saves.begin("faulty");
  const untap = tapDisk({ before: tap });
  const outcome = await storeIn(directory)
    .save(saveOf(NEW, saves.engine))
    .catch((error: unknown) => error)
    .finally(untap);
  const step = await demandWhole(directory, saves, name);
  if (outcome === undefined) demand(step === NEW, `${name}: the save says it went well, but nothing new is there`);
  else {
    demand(code !== undefined, `${name}: ${String(outcome)}`);
    demand(outcome instanceof CheckpointError, `${name}: the save failed with ${String(outcome)}`);
    demand(outcome.message.includes(code) && outcome.hint, `${name}: "${outcome.message}" says too little`);
    demand(step === OLD || step === NEW, `${name}: step ${step}`);
  }
  await demandGoesOn(directory, saves, name);
  rmSync(directory, { recursive: true });
  return outcome !== undefined;
}

export const saveFaults: Part = {
  name: "faults",
  what: "every call of a save that changes the disk refused in turn (ENOSPC, EIO, EACCES; once, from then on), writes torn",
  run: async ({ folder, policy, progress }: Context) => {
    const saves = await openSaves(folder, policy());
    try {
      const calls = await callsOf(saves);
      const faults = calls.flatMap(faultsAt);
      let loud = 0;
      for (const [i, fault] of faults.entries()) {
        progress(i, faults.length);
        loud += Number(await tryFault(fault, saves));
      }
      return `${faults.length} faults at ${calls.length} calls of a save: ${loud} said so, ${faults.length - loud} got by; 0 damaged a checkpoint`;
    } finally {
      await saves.close();
    }
  },
};
