/**
 * @file The worker thread that parses pages, one at a time; `page-workers.ts` terminates it if a page takes too long.
 */
import { parentPort } from "node:worker_threads";
import { faultOf } from "../../runtime/worker-fault.ts";
import type { Call, Reply } from "../../runtime/worker-pool.ts";
import { type ExtractRequest, extract } from "./extract.ts";

parentPort!.on("message", async ({ id, method, argument }: Call) => {
  try {
    const value = method === "extract" ? await extract(argument as ExtractRequest) : undefined;
    parentPort!.postMessage({ id, value } satisfies Reply);
  } catch (error) {
    parentPort!.postMessage({ id, fault: faultOf(error) } satisfies Reply);
  }
  if (method === "close") parentPort!.close();
});
