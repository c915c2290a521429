/** @file A fault in a worker, or while an index is opened, arrives as what it is: a bug never looks like the user's mistake. */
import { expect, test } from "vitest";
import { boundary, DataError, EngineError, SearchError } from "../src/base/errors.ts";
import { failureOf } from "../src/cli/exit.ts";
import { type RemoteWorker, startWorker, type WorkerSettings } from "../src/runtime/worker-pool.ts";

const faulty = new URL("../src/runtime/testing/faulty-worker", import.meta.url);

/** What a call rejects with; the worker is closed afterwards where it still lives. */
async function faultIn(method: string, data?: unknown, settings?: WorkerSettings): Promise<Error> {
  const worker: RemoteWorker = startWorker(faulty, data, settings);
  try {
    return await worker.call(method).then(
      () => new Error(`${method} did not fail`),
      (error: Error) => error,
    );
  } finally {
    await worker.close().catch(() => {});
  }
}

test.each(["bug", "uncaughtBug"])(
  "a TypeError in a worker (%s) stays one, with the worker's stack: exit code 70",
  async (method) => {
    const fault = await faultIn(method);
    expect(fault).toBeInstanceOf(TypeError);
    expect(fault.stack).toMatch(/faulty-worker\.[jt]s/);
    const { exitCode, text } = failureOf(fault, false);
    expect(exitCode).toBe(70);
    expect(text).toMatch(/^bug: TypeError.*\n[\s\S]*faulty-worker[\s\S]*this is a defect of r1-searcher/);
  },
);

test("a worker that fails while it starts, and a plain Error in one, are bugs too", async () => {
  expect(failureOf(await faultIn("bug", "fails at once"), false).exitCode).toBe(70);
  expect(failureOf(await faultIn("plainBug"), false).exitCode).toBe(70);
});

test.each([
  ["dataError", DataError, "row 7 is damaged", "mend row 7"],
  ["uncaughtDataError", DataError, "row 9 is damaged", "mend row 9"],
  ["ownError", EngineError, "a subclass", "of the engine's"],
])("an error of the tree (%s) arrives as its class with its hint: exit code 1", async (method, Type, message, hint) => {
  const fault = await faultIn(method);
  expect(fault).toBeInstanceOf(Type);
  expect(fault).toMatchObject({ name: Type.name, message, hint });
  expect(fault.stack).toContain("faulty-worker");
  expect(failureOf(fault, false)).toEqual({ exitCode: 1, text: `error: ${message}\nhint: ${hint}` });
});

test("what the system refused arrives with its code, and memory that ran out as the engine's failure", async () => {
  const system = await faultIn("system");
  expect(system).toMatchObject({ code: "ENOENT", message: expect.stringContaining("/nothing/lies/here") });
  expect(failureOf(system, false).exitCode).toBe(1);
  const memory = await faultIn("outOfMemory");
  expect(memory).toBeInstanceOf(EngineError);
  expect(failureOf(memory, false).text).toMatch(/ran out of memory.*\nhint: .*--resume/);
});

test("a worker that ended is the engine's failure, or what its owner makes of it", async () => {
  const ended = await faultIn("exit");
  expect(ended).toBeInstanceOf(EngineError);
  expect(ended.message).toBe("a worker ended with code 3");
  for (const method of ["exit", "uncaughtBug"]) {
    const owned = await faultIn(method, undefined, { ended: (message) => new SearchError(message) });
    expect(owned).toBeInstanceOf(SearchError);
  }
});

const opening = (fault: Error) => boundary(DataError, "index wiki cannot be opened", () => Promise.reject(fault));
const coded = (code: string, Type: ErrorConstructor = Error) => Object.assign(new Type(`${code}: refused`), { code });

test.each([
  new TypeError("x is undefined"),
  new RangeError("out of range"),
  new Error("cannot be"),
  coded("ERR_OUT_OF_RANGE", RangeError),
])("a bug inside a boundary passes as it is: %s", async (bug) => {
  await expect(opening(bug)).rejects.toBe(bug);
  expect(failureOf(bug, false).exitCode).toBe(70);
});

test("what the system or zlib refuses inside a boundary becomes the boundary's error; a named one stays", async () => {
  for (const code of ["ENOENT", "EIO", "Z_DATA_ERROR"]) {
    const fault = await opening(coded(code)).catch((error: unknown) => error);
    expect(fault).toBeInstanceOf(DataError);
    expect(fault).toMatchObject({ message: `index wiki cannot be opened: ${code}: refused`, cause: { code } });
  }
  const named = new SearchError("segment 3 is damaged");
  await expect(opening(named)).rejects.toBe(named);
});
