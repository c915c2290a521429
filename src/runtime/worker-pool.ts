import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type ResourceLimits, Worker } from "node:worker_threads";
import { EngineError } from "../base/errors.ts";
import { errorOf, faultOf, memoryHint, type WorkerFault } from "./worker-fault.ts";

/** A worker's reply. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly fault: WorkerFault };

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

export interface WorkerSettings {
  /** Makes the error of every worker that dies; by default what killed it, or an EngineError where nothing is known. */
  readonly ended?: (message: string) => Error;
  readonly resourceLimits?: ResourceLimits;
}

const engineEnded = (message: string): Error => new EngineError(message, { hint: memoryHint });

/**
 * What a worker throws rejects the call with the same class, hint, code and stack: a bug in a worker stays a bug.
 * @param module the worker's file without its ending, as a URL beside the caller's
 */
export function startWorker(
  module: URL,
  workerData: unknown,
  { ended, resourceLimits = {} }: WorkerSettings = {},
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
    if ("fault" in reply) call?.reject(errorOf(reply.fault));
    else call?.resolve(reply.value as never);
  });
  worker.on("error", (cause) => die(endedBy(cause, ended)));
  worker.on("exit", (code) => die((ended ?? engineEnded)(`a worker ended with code ${code}`)));
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
      die(new EngineError("the worker is closed"));
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
  const sources = new URL("../", import.meta.url).href;
  if (folder === undefined || !module.href.startsWith(sources)) return undefined;
  const path = module.href.slice(sources.length);
  return pathToFileURL(join(folder, "dist", `${path}.js`));
}

/** Of an error that nothing in the worker caught. Node stops a worker that is out of memory with an error of its own. */
function endedBy(cause: Error, ended: WorkerSettings["ended"]): Error {
  const { code } = cause as NodeJS.ErrnoException;
  if (ended !== undefined || code?.startsWith("ERR_WORKER_"))
    return Object.assign((ended ?? engineEnded)(`a worker failed: ${cause.message}`), { cause });
  const { hint } = cause as { readonly hint?: string };
  // Node copies the error between threads: its fields are kept, its class only where it is JavaScript's own
  return errorOf({ ...faultOf(cause), name: cause.name, hint });
}

/** Node 20 cannot load TypeScript, and a worker does not inherit its parent's loader. */
function fromSource(file: string): string {
  const loader = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  return `import(${loader}).then(({ register }) => { register(); return import(${JSON.stringify(file)}); });`;
}
