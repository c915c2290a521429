/**
 * @file Loaded into a real process and its threads by `node --import`: the nth call of a method of the engine's workers
 * is followed by a message at which its thread ends, as it does where the system takes its memory away.
 */
import { isMainThread, parentPort, Worker } from "node:worker_threads";

const [method, nth] = (process.env.BREAK_WORKER ?? "").split(":");
if (!isMainThread && parentPort && method) {
  const { on } = parentPort;
  parentPort.on = (event, listener) =>
    on.call(parentPort, event, (message) => (message === null ? process.exit(1) : listener(message)));
}
if (isMainThread && method) {
  const { postMessage } = Worker.prototype;
  let calls = 0;
  Worker.prototype.postMessage = function (message, transfer) {
    postMessage.call(this, message, transfer);
    if (message?.method === method && ++calls === Number(nth)) postMessage.call(this, null);
  };
}
