/**
 * @file The worker thread that writes segments. It answers the calls of `WorkerBuilder` in `segment-feed.ts` in order.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { Passage } from "../../protocol/passage.ts";
import { faultOf, type WorkerFault } from "../../runtime/worker-fault.ts";
import type { Call, Reply } from "../../runtime/worker-pool.ts";
import { analyzerOf } from "../analyzer.ts";
import { BuilderMemory, SegmentBuilder } from "./segment-builder.ts";
import type { BuildWorkerData } from "./segment-feed.ts";

const { directory, analyzer } = workerData as BuildWorkerData;
const memory = new BuilderMemory();
let segment: SegmentBuilder | undefined;
/** The first failure: what comes after it fails in the same way. */
let fault: WorkerFault | undefined;

function answer({ method, argument }: Call): unknown {
  switch (method) {
    case "open":
      segment = new SegmentBuilder({ directory, name: argument as string, memory }, analyzerOf(analyzer)!);
      return undefined;
    case "add":
      for (const passage of argument as readonly Passage[]) segment!.add(passage);
      return undefined;
    case "finish":
      return segment!.finish();
    case "close":
      segment?.close();
      return undefined;
    default:
      throw new Error(`no call is named ${method}`);
  }
}

parentPort!.on("message", (call: Call) => {
  if (fault === undefined || call.method === "close") {
    try {
      parentPort!.postMessage({ id: call.id, value: answer(call) } satisfies Reply);
      if (call.method === "close") parentPort!.close();
      return;
    } catch (error) {
      fault = faultOf(error);
    }
  }
  parentPort!.postMessage({ id: call.id, fault: fault! } satisfies Reply);
});
