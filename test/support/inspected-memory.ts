/** @file Memory of a Node program that runs with `--inspect`, once its garbage is collected: what is left is held by somebody. */
import { WebSocket } from "undici";
import { sleep } from "./cli-process.ts";

/** Bytes. */
export interface HeldMemory {
  readonly rss: number;
  readonly heap: number;
}

/** @param stderr of the program so far, where the inspector says its address */
export async function heldMemory(stderr: string): Promise<HeldMemory> {
  const address = /ws:\/\/127\.0\.0\.1:\S+/.exec(stderr)?.[0];
  if (address === undefined) throw new Error("the program does not run with --inspect=127.0.0.1:0");
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", reject, { once: true });
  });
  let last = 0;
  const call = (method: string, params: object = {}) =>
    new Promise<{ result?: { value?: string } }>((resolve) => {
      const id = ++last;
      socket.addEventListener("message", ({ data }) => {
        const reply = JSON.parse(String(data)) as { id?: number; result: object };
        if (reply.id === id) resolve(reply.result);
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
  try {
    let least: HeldMemory = { rss: Number.POSITIVE_INFINITY, heap: Number.POSITIVE_INFINITY };
    for (let i = 0; i < 5; i++) {
      await call("HeapProfiler.collectGarbage");
      await sleep(1000); // pages go back to the system after it
      const expression = "JSON.stringify(process.memoryUsage())";
      const { result } = await call("Runtime.evaluate", { expression });
      const { rss, heapUsed } = JSON.parse(result!.value!) as { rss: number; heapUsed: number };
      least = { rss: Math.min(least.rss, rss), heap: Math.min(least.heap, heapUsed) };
    }
    return least;
  } finally {
    socket.close();
  }
}
