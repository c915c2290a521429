import type { Output } from "./output.ts";

const saving = "\nstopping: saving completed work (press Ctrl-C again to stop at once) …";

/**
 * Runs `work` with a signal that Ctrl-C, SIGTERM or SIGHUP (the terminal was closed) raises; the work saves its state
 * and throws InterruptedError. A second Ctrl-C or SIGTERM ends the process at once, as if there were no handler. A
 * second SIGHUP does not, because the kernel and the shell may each send one when a terminal is closed.
 */
export async function untilInterrupted<T>(
  output: Output,
  work: (signal: AbortSignal) => Promise<T>,
  saying = saving,
): Promise<T> {
  const controller = new AbortController();
  let wasAsked = false;
  const stop = (name: NodeJS.Signals) => {
    if (wasAsked && name !== "SIGHUP") {
      release();
      process.kill(process.pid, "SIGINT");
      return;
    }
    wasAsked ||= name !== "SIGHUP";
    if (controller.signal.aborted) return;
    output.say(saying);
    controller.abort();
  };
  const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  const release = () => {
    for (const name of signals) process.off(name, stop);
  };
  for (const name of signals) process.on(name, stop);
  try {
    return await work(controller.signal);
  } finally {
    release();
  }
}
