/**
 * @file Worker threads that turn bytes into text. A worker is terminated if a page takes too much time or memory; the
 * next page gets a new one.
 */
import pLimit from "p-limit";
import { type RemoteWorker, startWorker } from "../../runtime/worker-pool.ts";
import type { ExtractRequest, PageText } from "./extract.ts";

export type ExtractResult =
  | ({ readonly ok: true } & PageText)
  | { readonly ok: false; readonly why: "time" | "memory" | "unreadable"; readonly message: string };

export interface PageWorkers {
  extract(request: ExtractRequest): Promise<ExtractResult>;
  close(): Promise<void>;
}

export interface PageWorkersOptions {
  /** Time limit for one page. */
  readonly timeoutMs?: number;
  /** Limit on the JavaScript heap of one worker. */
  readonly heapMb?: number;
  /** How much the process may grow while a page is read: part of a PDF's memory is outside the heap. */
  readonly growthMb?: number;
  /** Number of pages parsed at once. */
  readonly workers?: number;
}

/** Time limit for loading the parsers; a busy machine needs more. */
const startMs = 120_000;
const lookEveryMs = 50;

class Ended extends Error {
  readonly why: "time" | "memory";
  constructor(why: "time" | "memory", message: string) {
    super(message);
    this.why = why;
  }
}

export function pageWorkers(options: PageWorkersOptions = {}): PageWorkers {
  const { timeoutMs = 3_000, heapMb = 192, growthMb = 768, workers = 2 } = options;
  const limit = pLimit(workers);
  const idle: RemoteWorker[] = [];
  const busy = new Set<RemoteWorker>();
  let isClosed = false;
  const start = () =>
    startWorker(new URL("./page-worker", import.meta.url), undefined, {
      resourceLimits: { maxOldGenerationSizeMb: heapMb, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 },
      ended: (message) => new Ended("memory", `the page crashed the reader (${message})`),
    });
  const read = async (request: ExtractRequest): Promise<ExtractResult> => {
    if (isClosed) throw new Error("the page reader is closed");
    const worker = idle.pop() ?? start();
    busy.add(worker);
    try {
      await bounded(worker, worker.call("start"), startMs, growthMb);
      const text = await bounded(worker, worker.call<PageText>("extract", request), timeoutMs, growthMb);
      idle.push(worker);
      return { ok: true, ...text };
    } catch (cause) {
      if (cause instanceof Ended) return { ok: false, why: cause.why, message: cause.message };
      idle.push(worker);
      return { ok: false, why: "unreadable", message: (cause as Error).message };
    } finally {
      busy.delete(worker);
    }
  };
  return {
    extract: (request) => limit(read, request),
    async close() {
      isClosed = true;
      const closed = new Error("the page reader is closed");
      await Promise.all([...idle.splice(0), ...busy].map((worker) => worker.kill(closed)));
    },
  };
}

/** Terminates the worker if its work takes too long, or if the process grows too much meanwhile. */
async function bounded<T>(worker: RemoteWorker, work: Promise<T>, timeoutMs: number, growthMb: number): Promise<T> {
  const before = process.memoryUsage.rss();
  const began = performance.now();
  const watch = setInterval(() => {
    const grown = (process.memoryUsage.rss() - before) / 2 ** 20;
    if (performance.now() - began > timeoutMs) void worker.kill(new Ended("time", `not read within ${timeoutMs} ms`));
    else if (grown > growthMb) void worker.kill(new Ended("memory", `reading it took more than ${growthMb} MB`));
  }, lookEveryMs);
  return work.finally(() => clearInterval(watch));
}
