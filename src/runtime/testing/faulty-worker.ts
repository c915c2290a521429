/** @file A worker whose every call fails in the way that its name says; for the tests of what arrives at the caller. */
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { DataError, EngineError } from "../../base/errors.ts";
import { faultOf } from "../worker-fault.ts";
import type { Call, Reply } from "../worker-pool.ts";

class OwnError extends EngineError {}

const fail: Readonly<Record<string, () => void>> = {
  bug: () => (undefined as unknown as string[]).map(String),
  plainBug: () => {
    throw new Error("this cannot happen");
  },
  outOfMemory: () => {
    throw new RangeError("Array buffer allocation failed");
  },
  dataError: () => {
    throw new DataError("row 7 is damaged", { hint: "mend row 7" });
  },
  ownError: () => {
    throw new OwnError("a subclass", { hint: "of the engine's" });
  },
  system: () => void readFileSync("/nothing/lies/here"),
  uncaughtBug: () => void setImmediate(() => (undefined as unknown as string[]).map(String)),
  uncaughtDataError: () =>
    void setImmediate(() => {
      throw new DataError("row 9 is damaged", { hint: "mend row 9" });
    }),
  exit: () => process.exit(3),
};

if (workerData === "fails at once") fail["bug"]!();

parentPort!.on("message", ({ id, method }: Call) => {
  if (method === "close") parentPort!.close();
  try {
    const work = fail[method];
    work?.();
    if (!method.startsWith("uncaught")) parentPort!.postMessage({ id, value: undefined } satisfies Reply);
  } catch (error) {
    parentPort!.postMessage({ id, fault: faultOf(error) } satisfies Reply);
  }
});
