/**
 * @file Loaded into a real process by `node --import`: the nth call of a method of the engine's workers is followed by
 * a message that no worker understands, of which its thread dies.
 */
import { isMainThread, Worker } from "node:worker_threads";

const [method, nth] = (process.env.BREAK_WORKER ?? "").split(":");
if (isMainThread && method) {
  const { postMessage } = Worker.prototype;
  let calls = 0;
  Worker.prototype.postMessage = function (message, transfer) {
    postMessage.call(this, message, transfer);
    if (message?.method === method && ++calls === Number(nth)) postMessage.call(this, null);
  };
}
