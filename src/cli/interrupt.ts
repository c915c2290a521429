import type { Output } from "./output.ts";

const saving = "\nstopping: saving completed work (press Ctrl-C again to stop at once) …";

/**
 * Runs `work` with a signal that Ctrl-C or SIGTERM raises; the work saves its state and throws InterruptedError. A
 * second Ctrl-C ends the process at once, as if there were no handler.
 */
export async function untilInterrupted<T>(
  output: Output,
  work: (signal: AbortSignal) => Promise<T>,
  saying = saving,
): Promise<T> {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) {
      release();
      process.kill(process.pid, "SIGINT");
      return;
    }
    output.say(saying);
    controller.abort();
  };
  const release = () => {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    return await work(controller.signal);
  } finally {
    release();
  }
}
