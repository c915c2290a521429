import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type ResourceLimits, Worker } from "node:worker_threads";
import { EngineError } from "../base/errors.ts";

/** A worker's reply. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string; readonly code?: string };

export interface Call {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

/** A worker thread that answers calls; several calls can be in flight at once. */
export interface RemoteWorker {
  call<Result>(method: string, argument?: unknown, transfer?: readonly ArrayBuffer[]): Promise<Result>;
  /** Lets the worker end by itself: `terminate` during a run of ONNX Runtime would abort the whole process. */
  close(): Promise<void>;
  /**
   * Terminates the worker at once; its calls reject with `because`. Never use it for a worker that runs ONNX sessions.
   */
  kill(because: Error): Promise<void>;
}

const hint =
  "saved checkpoints are intact: continue the run with --resume; if it ran out of memory, lower the batch or context size";
const engineFailure: NonNullable<WorkerSettings["failure"]> = (message, { isDead }) =>
  new EngineError(message, isDead ? { hint } : {});

export interface WorkerSettings {
  /**
   * Creates the error that a call rejects with; `code` is the system's error code from the worker's error, if it has
   * one.
   */
  readonly failure?: (
    message: string,
    about: { readonly code?: string | undefined; readonly isDead: boolean },
  ) => Error;
  readonly resourceLimits?: ResourceLimits;
}

/** @param module the worker's file without its extension, as a URL next to the caller's */
export function startWorker(
  module: URL,
  workerData: unknown,
  { failure = engineFailure, resourceLimits = {} }: WorkerSettings = {},
): RemoteWorker {
  const compiled = import.meta.url.endsWith(".ts") ? compiledFrom(module) : new URL(`${module.href}.js`);
  const worker =
    compiled === undefined
      ? new Worker(fromSource(`${module.href}.ts`), { workerData, resourceLimits, eval: true })
      : new Worker(compiled, { workerData, resourceLimits });
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  let next = 0;
  let dead: Error | undefined;
  const die = (error: Error) => {
    dead ??= error;
    for (const { reject } of waiting.values()) reject(dead);
    waiting.clear();
  };
  worker.on("message", (reply: Reply) => {
    const call = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (waiting.size === 0) worker.unref();
    if ("error" in reply) call?.reject(failure(reply.error, { code: reply.code, isDead: false }));
    else call?.resolve(reply.value as never);
  });
  worker.on("error", (cause) =>
    die(Object.assign(failure(`a worker failed: ${cause.message}`, { isDead: true }), { cause })),
  );
  worker.on("exit", (code) => die(failure(`a worker ended with code ${code}`, { isDead: true })));
  worker.unref();
  return {
    call(method, argument, transfer = []) {
      if (dead) return Promise.reject(dead);
      return new Promise((resolve, reject) => {
        const id = next++;
        worker.ref();
        waiting.set(id, { resolve, reject });
        worker.postMessage({ id, method, argument } satisfies Call, [...transfer]);
      });
    },
    async close() {
      if (dead) return;
      await this.call("close");
      die(failure("the worker is closed", { isDead: false }));
    },
    async kill(because) {
      die(because);
      await worker.terminate();
    },
  };
}

/** The test suite compiles the sources once and names the folder: compiled, a worker starts in a third of the time. */
function compiledFrom(module: URL): URL | undefined {
  const folder = process.env["R1_SEARCHER_COMPILED"];
  if (folder === undefined) return undefined;
  const path = module.href.slice(new URL("../", import.meta.url).href.length);
  return pathToFileURL(join(folder, "dist", `${path}.js`));
}

/** Node 20 cannot load TypeScript, and a worker does not inherit its parent's loader. */
function fromSource(file: string): string {
  const loader = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  return `import(${loader}).then(({ register }) => { register(); return import(${JSON.stringify(file)}); });`;
}
