import { Worker } from "node:worker_threads";
import { EngineError } from "../base/errors.ts";

/** What a worker sends back. */
export type Reply = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

export interface Call {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

/** A worker thread that answers calls, any number of them in flight. */
export interface RemoteWorker {
  call<Result>(method: string, argument?: unknown, transfer?: readonly ArrayBuffer[]): Promise<Result>;
  /** Lets the worker end by itself: `terminate` during a run would abort the whole process. */
  close(): Promise<void>;
}

const hint = "what is saved is intact: a run continues with --resume; if it was out of memory, ask for less at once";

/** @param module the worker's file without its ending, as a URL beside the caller's */
export function startWorker(module: URL, workerData: unknown): RemoteWorker {
  const worker = import.meta.url.endsWith(".ts")
    ? new Worker(fromSource(`${module.href}.ts`), { workerData, eval: true })
    : new Worker(new URL(`${module.href}.js`), { workerData });
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
    if ("error" in reply) call?.reject(new EngineError(reply.error));
    else call?.resolve(reply.value as never);
  });
  worker.on("error", (cause) => die(new EngineError(`an engine worker failed: ${cause.message}`, { hint, cause })));
  worker.on("exit", (code) => die(new EngineError(`an engine worker ended with code ${code}`, { hint })));
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
      die(new EngineError("the engine is closed"));
    },
  };
}

/** Node 20 does not read TypeScript, and a worker does not inherit the loader of its parent. */
function fromSource(file: string): string {
  const loader = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  return `import(${loader}).then(({ register }) => { register(); return import(${JSON.stringify(file)}); });`;
}
