/**
 * @file Loaded into a real process by `node --import`: the nth call of a method of the engine's workers is followed by
 * a message at which its thread ends, as it does where the system takes its memory away.
 */
import { syncBuiltinESMExports } from "node:module";
import threads from "node:worker_threads";

const [method, nth] = (process.env.BREAK_WORKER ?? "").split(":");

/** Runs in the worker, before its own code. */
const endAtNull = `{
  const { parentPort } = require("node:worker_threads");
  const { on } = parentPort;
  parentPort.on = (event, listener) =>
    on.call(parentPort, event, (message) => (message === null ? process.exit(1) : listener(message)));
}
`;

if (threads.isMainThread && method) {
  let calls = 0;
  threads.Worker = class extends threads.Worker {
    constructor(source, options) {
      super(options?.eval ? endAtNull + source : source, options);
    }
    postMessage(message, transfer) {
      super.postMessage(message, transfer);
      if (message?.method === method && ++calls === Number(nth)) super.postMessage(null);
    }
  };
  syncBuiltinESMExports();
}
