import { expect, test } from "vitest";
import { InterruptedError } from "../base/errors.ts";
import { untilInterrupted } from "./interrupt.ts";
import { createOutput } from "./output.ts";

function capture() {
  const stdout = { text: "", write: (text: string) => (stdout.text += text) };
  return { stdout, output: createOutput({ stdout, env: {} }) };
}

test("the first Ctrl-C raises the signal, says so, and leaves no listener behind", async () => {
  const { stdout, output } = capture();
  const before = process.listeners("SIGINT");
  const working = untilInterrupted(output, async (signal) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    throw new InterruptedError("stopped at step 3");
  });
  const [stop] = process.listeners("SIGINT").filter((listener) => !before.includes(listener));
  stop!("SIGINT");
  await expect(working).rejects.toThrow("stopped at step 3");
  expect(stdout.text).toContain("Ctrl-C again");
  expect(process.listeners("SIGINT")).toEqual(before);
});

test("work that ends by itself is left alone", async () => {
  const { stdout, output } = capture();
  const before = [process.listenerCount("SIGINT"), process.listenerCount("SIGTERM")];
  expect(await untilInterrupted(output, async (signal) => signal.aborted)).toBe(false);
  expect([process.listenerCount("SIGINT"), process.listenerCount("SIGTERM")]).toEqual(before);
  expect(stdout.text).toBe("");
});

test("a terminal that is closed (SIGHUP, also twice) raises the signal once and never ends the process at once", async () => {
  const { stdout, output } = capture();
  const before = process.listeners("SIGHUP");
  const working = untilInterrupted(output, async (signal) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    const [stop] = process.listeners("SIGHUP").filter((listener) => !before.includes(listener));
    stop!("SIGHUP");
    stop!("SIGTERM"); // some service managers send both
    throw new InterruptedError("stopped at step 3");
  });
  const [stop] = process.listeners("SIGHUP").filter((listener) => !before.includes(listener));
  expect(stop).toBeDefined();
  stop!("SIGHUP");
  await expect(working).rejects.toThrow("stopped at step 3");
  expect(stdout.text.match(/stopping/g)).toHaveLength(1);
  expect(process.listeners("SIGHUP")).toEqual(before);
});
